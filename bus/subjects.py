"""The names on the bus: every subject, stream, bucket and key is built and parsed here, and nowhere else.

    lb.task.<worker>                 tasks for one worker
    lb.task.any                      tasks for any worker with a free slot (queue group)
    lb.reply.<dispatcher>.<token>    replies to one dispatcher; the token says to what:
        <incarnation>-<assignment id>    a worker's Result for one assignment
        p-<asked ms>-<worker>            a worker's WorkerState, in answer to a probe
        p-<asked ms>-                    the dispatcher's echo to itself: NATS is there
    lb.ping.<worker>                 asks a worker for its state; no responders: it is gone
    lb.ping.any                      asks every worker
    lb.state.<worker>                a worker's WorkerState when it changes
    lb.log.<component>.<id>          JSON log records, kept by the stream
    lb.convert                       ConvertRequest (queue group)
    lb.event.convert.<model name>    progress of a conversion, JSON

    $KV.<bucket>.worker.<worker>                          a worker's entry in the label registry
    $JS.API.CONSUMER.MSG.NEXT.<log stream>.<consumer>     a request for more log records
    $JS.ACK.<stream>.<consumer>.…                         the acknowledgement of one delivery

`nats sub 'lb.>'` shows all of the first group.
"""

from typing import Final

import msgspec

from bus.errors import BadNameError
from bus.names import ANY_WORKER, check_worker_id

WORKER_GROUP: Final = "workers"
CONVERTER_GROUP: Final = "converters"
DEFAULT_PREFIX: Final = "lb"
ALL_ACKS: Final = "$JS.ACK.>"
"""The acknowledgements of every consumer; anybody may subscribe to them."""

_ACK: Final = "$JS.ACK."
_WORKER_KEY: Final = "worker."
_PROBE: Final = "p-"
_MAX_DIGITS: Final = 20
"""Digits of the largest unsigned 64-bit number: a reply may come from anybody, and int() raises for very long ones."""


class ReplyAddress(msgspec.Struct, frozen=True):
    """A reply subject in two parts: `sender` is the same in all reply subjects of one dispatcher, `token` differs."""

    sender: str
    token: str


class AssignmentToken(msgspec.Struct, frozen=True):
    """The token of a reply to an assignment.

    `incarnation` tells one process of a dispatcher from earlier ones of the same name, which counted their
    assignments from the same number on.
    """

    incarnation: str
    assignment_id: int


class ProbeToken(msgspec.Struct, frozen=True):
    """The token of a reply to a probe sent at `asked_ms` by the dispatcher's clock.

    `worker_id` is the worker that was asked, `ANY_WORKER` when all were, empty when the probe is the dispatcher's
    echo to itself.
    """

    asked_ms: int
    worker_id: str

    @property
    def is_echo(self) -> bool:
        """Tell whether the dispatcher sent this to itself."""
        return not self.worker_id


class LogAddress(msgspec.Struct, frozen=True):
    """The component and the id that a log subject names."""

    component: str
    id: str


def reply_address(reply: str) -> ReplyAddress:
    """Take a reply subject apart, whoever chose it."""
    sender, _, token = reply.rpartition(".")
    return ReplyAddress(sender, token)


def parse_reply_token(token: str) -> AssignmentToken | ProbeToken:
    """Read the last token of a reply subject made by `Subjects`; `BadNameError` for any other text."""
    if token.startswith(_PROBE):
        asked_ms, dash, worker_id = token.removeprefix(_PROBE).partition("-")
        if dash and _is_number(asked_ms):
            if worker_id and worker_id != ANY_WORKER:
                check_worker_id(worker_id)
            return ProbeToken(int(asked_ms), worker_id)
    else:
        incarnation, dash, assignment_id = token.rpartition("-")
        if incarnation and _is_number(assignment_id):
            return AssignmentToken(incarnation, int(assignment_id))
    raise BadNameError(f"{token[:80]!r} is not the token of a reply to an assignment or a probe")


def is_ack(reply: str) -> bool:
    """Tell whether a message with this reply subject is a delivery of JetStream, to be acknowledged there."""
    return reply.startswith(_ACK)


def _is_number(text: str) -> bool:
    return 0 < len(text) <= _MAX_DIGITS and text.isascii() and text.isdigit()


class Subjects(msgspec.Struct, frozen=True, kw_only=True):
    """The names of one bus. Two buses with different prefixes, buckets and streams share a NATS server."""

    prefix: str = DEFAULT_PREFIX
    bucket: str = "labels"
    log_stream: str = "LOGS"

    def __post_init__(self) -> None:
        for token in self.prefix.split("."):
            check_worker_id(token)

    def task(self, worker_id: str) -> str:
        """Return the subject of tasks for one worker."""
        return f"{self.prefix}.task.{worker_id}"

    @property
    def task_any(self) -> str:
        """Tasks for any worker with a free slot; its queue group is `WORKER_GROUP`."""
        return f"{self.prefix}.task.{ANY_WORKER}"

    def reply(self, dispatcher_id: str, token: int | str) -> str:
        """Return the subject of replies with this token; `*` is the pattern of all replies to a dispatcher."""
        return f"{self.prefix}.reply.{dispatcher_id}.{token}"

    def assignment_reply(self, dispatcher_id: str, incarnation: str, assignment_id: int) -> str:
        """Return the reply subject of one assignment; `parse_reply_token` reads its last token."""
        return f"{self.prefix}.reply.{dispatcher_id}.{incarnation}-{assignment_id}"

    def probe_reply(self, dispatcher_id: str, asked_ms: int, worker_id: str) -> str:
        """Return the reply subject of a probe; an empty `worker_id` is the dispatcher's echo to itself."""
        return f"{self.prefix}.reply.{dispatcher_id}.{_PROBE}{asked_ms}-{worker_id}"

    def ping(self, worker_id: str) -> str:
        """Return the subject that asks one worker for its `WorkerState`."""
        return f"{self.prefix}.ping.{worker_id}"

    @property
    def ping_any(self) -> str:
        """The subject that asks every worker for its `WorkerState`."""
        return f"{self.prefix}.ping.{ANY_WORKER}"

    def state(self, worker_id: str) -> str:
        """Return the subject of a worker's load as it changes; `*` is the pattern of all workers."""
        return f"{self.prefix}.state.{worker_id}"

    def log(self, component: str, component_id: str) -> str:
        """Return the subject of one component's log records."""
        return f"{self.prefix}.log.{component}.{component_id}"

    @property
    def log_all(self) -> str:
        """The pattern of all log records, which the log stream keeps."""
        return f"{self.prefix}.log.>"

    @property
    def convert(self) -> str:
        """Conversions; its queue group is `CONVERTER_GROUP`."""
        return f"{self.prefix}.convert"

    def convert_event(self, model: str) -> str:
        """Return the subject of one model's conversion; dots in its name become `_`, since dots separate tokens."""
        return f"{self.prefix}.event.convert.{model.replace('.', '_')}"

    @property
    def worker_keys(self) -> str:
        """The pattern of all workers' keys in the bucket."""
        return f"{_WORKER_KEY}*"

    def worker_key(self, worker_id: str) -> str:
        """Return a worker's key in the bucket."""
        return _WORKER_KEY + worker_id

    @property
    def bucket_stream(self) -> str:
        """The stream that holds the bucket."""
        return f"KV_{self.bucket}"

    def kv(self, key: str) -> str:
        """Return the subject to which a key of the bucket is written."""
        return f"$KV.{self.bucket}.{key}"

    def pull(self, consumer: str) -> str:
        """Return the subject on which a consumer of the log stream is asked for more records."""
        return f"$JS.API.CONSUMER.MSG.NEXT.{self.log_stream}.{consumer}"

    def worker_of_key(self, key: str) -> str:
        """Return the worker whose key this is; `BadNameError` for any other key."""
        if not key.startswith(_WORKER_KEY):
            raise BadNameError(f"{key!r} is not a worker's key in the registry")
        return check_worker_id(key.removeprefix(_WORKER_KEY))

    def parse_log(self, subject: str) -> LogAddress:
        """Return the component and id that a log subject names; `BadNameError` for any other subject."""
        start = f"{self.prefix}.log."
        component, dot, component_id = subject.removeprefix(start).partition(".")
        if not subject.startswith(start) or not dot:
            raise BadNameError(f"{subject!r} is not a subject of the form {start}<component>.<id>")
        return LogAddress(check_worker_id(component), check_worker_id(component_id))
