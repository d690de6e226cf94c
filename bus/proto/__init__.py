"""The messages on the wire, and the code that protoc makes of them. Only `bus.codec` imports it."""
