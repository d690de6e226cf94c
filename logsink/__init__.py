"""The log sink: from the log stream to JSON lines on disk, each record once."""
