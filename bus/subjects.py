"""Every subject, stream, bucket and key of the bus.

    lb.task.<worker>                 tasks for one worker
    lb.task.any                      tasks for whoever is free (queue group)
    lb.reply.<dispatcher>.<token>    a worker's Result for one assignment
    lb.ping.<worker>                 asks a worker for its state; no responders: it is gone
    lb.ping.any                      asks every worker
    lb.state.<worker>                a worker's WorkerState when it changes
    lb.log.<component>.<id>          JSON log records, kept by the stream
    lb.convert                       ConvertRequest (queue group)
    lb.event.convert.<model name>    progress of a conversion, JSON

`nats sub 'lb.>'` shows all of it.
"""

from typing import Final

import msgspec

from bus.errors import BadNameError
from bus.names import ANY_WORKER, check_worker_id

WORKER_GROUP: Final = "workers"
CONVERTER_GROUP: Final = "converters"
DEFAULT_PREFIX: Final = "lb"
_WORKER_KEY: Final = "worker."


class Subjects(msgspec.Struct, frozen=True, kw_only=True):
    """The names of one bus. Two buses with different prefixes, buckets and streams share a NATS server."""

    prefix: str = DEFAULT_PREFIX
    bucket: str = "labels"
    log_stream: str = "LOGS"

    def __post_init__(self) -> None:
        for token in self.prefix.split("."):
            check_worker_id(token)

    def task(self, worker_id: str) -> str:
        """Tasks for one worker."""
        return f"{self.prefix}.task.{worker_id}"

    @property
    def task_any(self) -> str:
        """Tasks for any worker with a free slot; its queue group is `WORKER_GROUP`."""
        return f"{self.prefix}.task.{ANY_WORKER}"

    def reply(self, dispatcher_id: str, token: int | str) -> str:
        """Where the Result of one assignment goes; `token` is `*` for all of a dispatcher's."""
        return f"{self.prefix}.reply.{dispatcher_id}.{token}"

    def ping(self, worker_id: str) -> str:
        """Asks a worker for its `WorkerState`."""
        return f"{self.prefix}.ping.{worker_id}"

    @property
    def ping_any(self) -> str:
        """Asks every worker for its `WorkerState`."""
        return f"{self.prefix}.ping.{ANY_WORKER}"

    def state(self, worker_id: str) -> str:
        """A worker's load as it changes; `worker_id` is `*` for all."""
        return f"{self.prefix}.state.{worker_id}"

    def log(self, component: str, component_id: str) -> str:
        """Log records of one component."""
        return f"{self.prefix}.log.{component}.{component_id}"

    @property
    def log_all(self) -> str:
        """What the log stream keeps."""
        return f"{self.prefix}.log.>"

    @property
    def convert(self) -> str:
        """Conversions; its queue group is `CONVERTER_GROUP`."""
        return f"{self.prefix}.convert"

    def convert_event(self, model: str) -> str:
        """Progress of one model's conversion; dots in the model name become `_`, since they part tokens."""
        return f"{self.prefix}.event.convert.{model.replace('.', '_')}"

    @property
    def worker_keys(self) -> str:
        """The pattern of all workers' keys in the bucket."""
        return f"{_WORKER_KEY}*"

    def worker_key(self, worker_id: str) -> str:
        """A worker's key in the bucket."""
        return _WORKER_KEY + worker_id

    def worker_of_key(self, key: str) -> str:
        """The worker whose key this is; `BadNameError` for any other key."""
        if not key.startswith(_WORKER_KEY):
            raise BadNameError(f"{key!r} is not a worker's key")
        return check_worker_id(key.removeprefix(_WORKER_KEY))

    def parse_log(self, subject: str) -> tuple[str, str]:
        """Component and id of a log subject; `BadNameError` for any other subject."""
        return self._two_tokens(f"{self.prefix}.log.", subject)

    def _two_tokens(self, start: str, subject: str) -> tuple[str, str]:
        first, dot, second = subject.removeprefix(start).partition(".")
        if not subject.startswith(start) or not dot:
            raise BadNameError(f"{subject!r} is not a subject of the form {start}<component>.<id>")
        return check_worker_id(first), check_worker_id(second)
