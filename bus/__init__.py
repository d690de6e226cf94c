"""The bus: messages, codec, subjects, registry, connection, settings and logging, shared by every component."""
