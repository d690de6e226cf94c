"""Task types: the decorator that makes one of a function, and the context that a handler gets.

    @task_type("count_words")
    async def count_words(context: TaskContext, parameters: Words) -> Counts: ...

`Words` and `Counts` are msgspec structs, or anything else that msgspec decodes and encodes. By the time the handler
runs, the parameters have been checked against the type and the label is loaded. A handler that has its JSON already
returns `bytes`. A parameters type that msgspec does not know is made by its classmethod `from_json`, which is given
the decoded JSON and raises `ValueError` or `msgspec.ValidationError` for values that it refuses. An answer with a
method `to_json` is encoded by it.

    @task_type("count_words", passes=True)
    async def count_words(contexts: list[TaskContext], parameters: list[Words]) -> list[Counts | Exception]: ...

With `passes` the handler runs several tasks of one label at once, and returns one answer for each, in their order. An
answer that is an exception fails its task alone. If the handler raises, its tasks run again one by one, so that a bad
one fails alone: it must be safe to run a task twice.
"""

import inspect
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import ModuleType
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints, overload

import msgspec

from bus.errors import BadParametersError, InvalidInputError, MalformedError, WorkerError, reason
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


def pass_timeout_s(contexts: Sequence[TaskContext]) -> float | None:
    """Return the seconds until the last deadline of the tasks in a pass; None if one of them has none."""
    timeouts = [timeout_s for context in contexts if (timeout_s := context.timeout_s) is not None]
    return max(timeouts) if len(timeouts) == len(contexts) else None


Handler = Callable[[TaskContext, Any], Awaitable[Any]]

PassHandler = Callable[[list[TaskContext], list[Any]], Awaitable[list[Any]]]
"""A handler of several tasks of one label: an answer for each, in their order, or the exception that failed it."""


class WrongAnswersError(WorkerError):
    """A handler with `passes` that does not return one answer for each of its tasks; to run them again is no help."""


class TaskType:
    """A named handler with the type of its parameters; with `passes` it is a `PassHandler`."""

    def __init__(self, name: str, handler: Handler | PassHandler, *, passes: bool = False) -> None:
        self.name: Final = check_task_type(name)
        self.passes: Final = passes
        self.handler: Final[Callable[[Any, Any], Awaitable[Any]]] = handler
        self._decoder = msgspec.json.Decoder(_parameters_type(handler, passes=passes), dec_hook=_from_json)
        self._encoder = msgspec.json.Encoder()

    async def run(self, contexts: list[TaskContext], parameters: list[Any]) -> list[Any]:
        """Return the answers of a handler with `passes` to tasks of one label, or raise what it raises.

        An answer may be an exception. Raises `WrongAnswersError` if there is not one answer for each task.
        """
        answers = await self.handler(contexts, parameters)
        if not isinstance(answers, list) or len(answers) != len(contexts):
            raise WrongAnswersError(f"{self.name} must return a list of {len(contexts)} answers, one for each task")
        return answers

    def run_alone(self, context: TaskContext, parameters: Any) -> Awaitable[Any]:
        """Return the handler's answer to one task, or raise what it raises or returns as an error."""
        return self._run_one(context, parameters) if self.passes else self.handler(context, parameters)

    async def _run_one(self, context: TaskContext, parameters: Any) -> Any:
        (answer,) = await self.run([context], [parameters])
        if isinstance(answer, BaseException):
            raise answer
        return answer

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
        """Return one answer of the handler as JSON; `WorkerError` (with the path) for NaN and infinity."""
        if isinstance(answer, bytes):
            check_finite_json(self.name, answer)
            return answer
        if hasattr(answer, "to_json"):
            encoded: bytes = answer.to_json()
            return encoded
        output = self._encoder.encode(answer)
        if has_null(output):
            check_finite(self.name, answer)
        return output


@overload
def task_type(name: str, *, passes: Literal[False] = False) -> Callable[[Handler], TaskType]: ...


@overload
def task_type(name: str, *, passes: Literal[True]) -> Callable[[PassHandler], TaskType]: ...


def task_type(name: str, *, passes: bool = False) -> Callable[[Any], TaskType]:
    """Make a task type called `name` of an async function of (TaskContext, parameters).

    With `passes`, of one of (list[TaskContext], list of parameters) that returns a list of answers: it runs several
    tasks of a label at once, where that pays.
    """
    return lambda handler: TaskType(name, handler, passes=passes)


def task_types_of(modules: Iterable[ModuleType]) -> dict[str, TaskType]:
    """Return the task types that these modules define, by name; a name twice is an `InvalidInputError`."""
    found: dict[str, TaskType] = {}
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, TaskType) and found.setdefault(value.name, value) is not value:
                raise InvalidInputError(f"two handlers for the task type {value.name}; one is in {module.__name__}")
    return found


def _parameters_type(handler: Callable[..., Any], *, passes: bool) -> Any:
    names = list(inspect.signature(handler).parameters)
    if len(names) != 2:
        wanted = "(contexts, parameters), both lists" if passes else "(context, parameters)"
        raise TypeError(f"{handler.__qualname__} must take {wanted}")
    if not inspect.iscoroutinefunction(handler):
        raise TypeError(f"{handler.__qualname__} must be an async function")
    hints = get_type_hints(handler, include_extras=True)
    context, parameters = hints.get(names[0], Any), hints.get(names[1], Any)
    if not passes:
        if get_origin(context) is list:
            raise TypeError(
                f"{handler.__qualname__} takes a list of contexts: say passes=True, or take one TaskContext"
            )
        return parameters
    for name, hint in zip(names, (context, parameters), strict=True):
        if hint not in (Any, list) and get_origin(hint) is not list:
            raise TypeError(f"{handler.__qualname__} has passes=True, so its {name} must be a list[...]")
    return get_args(parameters)[0] if get_origin(parameters) is list else Any


def _from_json(kind: Any, value: Any) -> Any:
    return kind.from_json(value)
