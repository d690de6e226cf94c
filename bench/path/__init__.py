"""The cost of a task's path, HTTP → dispatcher → NATS → worker → HTTP, beside a bare gateway in the same run.

settings    the flags of `just bench-path`
bare        the bare gateway and its responder
sides       the processes of both sides, on one NATS server
measure     the legs, the two sides in turn
report      rows and verdicts
plot        the plot
"""
