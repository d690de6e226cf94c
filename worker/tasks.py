"""Task types: the decorator that makes one of a function, and the context that a handler gets.

    @task_type("count_words")
    async def count_words(context: TaskContext, parameters: Words) -> Counts: ...

`Words` and `Counts` are msgspec structs, or anything else that msgspec decodes and encodes. By the time the handler
runs, the parameters have been checked against the type and the label is loaded. A handler that has its JSON already
returns `bytes`. A parameters type that msgspec does not know is made by its classmethod `from_json`, which is given
the decoded JSON and raises `ValueError` or `msgspec.ValidationError` for values that it refuses.
"""

import inspect
import time
from collections.abc import Awaitable, Callable, Iterable
from types import ModuleType
from typing import Any, Final, get_type_hints

import msgspec

from bus.errors import BadParametersError, InvalidInputError, MalformedError, reason
from bus.names import check_task_type
from worker.non_finite import check_finite, check_finite_json, has_null
from worker.runtimes.protocol import Runtime
from worker.tokens import Tokens


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits on the texts of one task."""

    max_texts: int = 1024
    max_text_chars: int = 100_000


class TaskContext(msgspec.Struct, frozen=True, kw_only=True):
    """A handler's task: its label, which is loaded, the runtime and the tokenizers. `deadline` is monotonic seconds."""

    task_id: str
    label: str
    runtime: Runtime
    tokens: Tokens
    limits: Limits
    deadline: float | None = None

    @property
    def timeout_s(self) -> float | None:
        """Seconds until the deadline; None if the task has none."""
        return None if self.deadline is None else max(0.001, self.deadline - time.monotonic())


Handler = Callable[[TaskContext, Any], Awaitable[Any]]


class TaskType:
    """A named handler with the type of its parameters."""

    def __init__(self, name: str, handler: Handler) -> None:
        self.name: Final = check_task_type(name)
        self.handler: Final = handler
        self._decoder = msgspec.json.Decoder(_parameters_type(handler), dec_hook=_from_json)
        self._encoder = msgspec.json.Encoder()

    def decode(self, parameters: bytes) -> Any:
        """Return the parameters as the handler takes them.

        Raises `MalformedError` if they are not JSON, `BadParametersError` (with the path) if they do not fit.
        """
        try:
            return self._decoder.decode(parameters)
        except msgspec.ValidationError as exc:
            raise BadParametersError(f"parameters of {self.name}: {reason(exc)}") from exc
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise MalformedError(f"parameters_json is not JSON: {reason(exc)}") from exc
        except RecursionError as exc:
            raise MalformedError("parameters_json is nested too deeply") from exc

    def encode(self, answer: Any) -> bytes:
        """Return the handler's answer as JSON; `WorkerError` (with the path) for NaN and infinity."""
        if isinstance(answer, bytes):
            check_finite_json(self.name, answer)
            return answer
        output = self._encoder.encode(answer)
        if has_null(output):
            check_finite(self.name, answer)
        return output


def task_type(name: str) -> Callable[[Handler], TaskType]:
    """Make a task type called `name` of an async function of (TaskContext, parameters)."""
    return lambda handler: TaskType(name, handler)


def task_types_of(modules: Iterable[ModuleType]) -> dict[str, TaskType]:
    """Return the task types that these modules define, by name; a name twice is an `InvalidInputError`."""
    found: dict[str, TaskType] = {}
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, TaskType) and found.setdefault(value.name, value) is not value:
                raise InvalidInputError(f"two handlers for the task type {value.name}; one is in {module.__name__}")
    return found


def _parameters_type(handler: Handler) -> Any:
    names = list(inspect.signature(handler).parameters)
    if len(names) != 2:
        raise TypeError(f"{handler.__qualname__} must take (context, parameters)")
    if not inspect.iscoroutinefunction(handler):
        raise TypeError(f"{handler.__qualname__} must be an async function")
    return get_type_hints(handler, include_extras=True).get(names[1], Any)


def _from_json(kind: Any, value: Any) -> Any:
    return kind.from_json(value)
