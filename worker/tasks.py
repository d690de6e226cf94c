"""Task types: a handler, what it takes, and what it gives, from one decorated function.

    @task_type("count_words")
    async def count_words(context: TaskContext, parameters: Words) -> Counts: ...

`Words` and `Counts` are msgspec structs (or whatever msgspec decodes and encodes); the parameters have been checked
against the type by the time the handler runs, and the label is loaded. A handler that has its JSON already returns
`bytes`.
"""

import inspect
import time
from collections.abc import Awaitable, Callable, Iterable
from types import ModuleType
from typing import Any, Final, get_type_hints

import msgspec

from bus.errors import BadParametersError, InvalidInputError, MalformedError, reason
from bus.names import check_task_type
from worker.runtimes.protocol import Runtime
from worker.tokens import Tokens


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one task may ask for."""

    max_texts: int = 1024
    max_text_chars: int = 100_000


class TaskContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler may use: its label, which is loaded, the runtime and the tokenizers. `deadline` is monotonic."""

    task_id: str
    label: str
    runtime: Runtime
    tokens: Tokens
    limits: Limits
    deadline: float | None = None

    @property
    def timeout_s(self) -> float | None:
        """Seconds that are left; None: as long as it takes."""
        return None if self.deadline is None else max(0.001, self.deadline - time.monotonic())


Handler = Callable[[TaskContext, Any], Awaitable[Any]]


class TaskType:
    """A task type by name: its handler, what that takes, and what it gives."""

    def __init__(self, name: str, handler: Handler) -> None:
        self.name: Final = check_task_type(name)
        self.handler: Final = handler
        self._decoder = msgspec.json.Decoder(_parameters_type(handler))
        self._encoder = msgspec.json.Encoder()

    def decode(self, parameters: bytes) -> Any:
        """The parameters as the handler takes them.

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
        """What the handler returned, as JSON."""
        return answer if isinstance(answer, bytes) else self._encoder.encode(answer)


def task_type(name: str) -> Callable[[Handler], TaskType]:
    """Make a task type called `name` of an async function of (TaskContext, parameters)."""
    return lambda handler: TaskType(name, handler)


def task_types_of(modules: Iterable[ModuleType]) -> dict[str, TaskType]:
    """The task types that these modules define, by name; a name twice is an `InvalidInputError`."""
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
