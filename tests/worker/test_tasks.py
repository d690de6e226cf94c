"""Task types from decorated functions."""

import time
from types import ModuleType, SimpleNamespace
from typing import Annotated, Any, cast

import msgspec
import pytest
from msgspec import Meta

from bus.errors import BadNameError, BadParametersError, InvalidInputError, MalformedError, WorkerError
from worker.handlers import embed_texts, infer, sample_pass, sample_task
from worker.tasks import TaskContext, TaskType, pass_timeout_s, task_type, task_types_of


class Words(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    words: list[str]
    most: Annotated[int, Meta(ge=1)] = 10


class Count(msgspec.Struct, frozen=True):
    words: int


@task_type("count_words")
async def count_words(context: TaskContext, parameters: Words) -> Count:
    return Count(len(parameters.words))


@task_type("already_json")
async def already_json(context: TaskContext, parameters: Any) -> bytes:
    return b'{"as":"it is"}'


NO_CONTEXT = cast(TaskContext, None)


async def test_a_handler_gets_its_struct_and_its_answer_becomes_json():
    parameters = count_words.decode(b'{"words": ["a", "b"]}')
    assert parameters == Words(words=["a", "b"])
    assert count_words.encode(await count_words.handler(NO_CONTEXT, parameters)) == b'{"words":2}'


async def test_bytes_are_taken_to_be_json_already():
    answer = await already_json.handler(NO_CONTEXT, already_json.decode(b"[1]"))
    assert already_json.encode(answer) == b'{"as":"it is"}'


@pytest.mark.parametrize(
    ("parameters", "error", "says"),
    [
        (b"", MalformedError, "not JSON"),
        (b"{", MalformedError, "not JSON"),
        (b"{'words': []}", MalformedError, "not JSON"),
        (b'{"words": ["\xff"]}', MalformedError, "not JSON"),
        (b'{"words": ["\\ud800!"]}', MalformedError, "not JSON"),
        (b'{"most": 1e999}', BadParametersError, r"out of range - at `\$.most"),
        (b"[]", BadParametersError, "Expected `object`, got `array`"),
        (b"{}", BadParametersError, "missing required field `words`"),
        (b'{"words": ["a", 2]}', BadParametersError, r"\$.words\[1\]"),
        (b'{"words": [], "most": 0}', BadParametersError, r"\$.most"),
        (b'{"words": [], "lest": 1}', BadParametersError, "unknown field `lest`"),
        (b'{"words": ' + b"[" * 100_000, BadParametersError, r"\$.words\[0\]"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_with_the_place(parameters, error, says):
    with pytest.raises(error, match=says) as caught:
        count_words.decode(parameters)
    assert type(caught.value) is error


def test_parameters_nested_too_deeply_are_malformed():
    with pytest.raises(MalformedError, match="too deeply"):
        already_json.decode(b"[" * 100_000 + b"]" * 100_000)


def test_constraints_on_the_annotation_itself_count():
    @task_type("few")
    async def few(context: TaskContext, parameters: Annotated[list[int], Meta(max_length=2)]) -> int:
        return sum(parameters)

    with pytest.raises(BadParametersError, match="length <= 2"):
        few.decode(b"[1,2,3]")


@pytest.mark.parametrize("name", ["", "Upper", "with-hyphen", "a.b", "x" * 65, "1st"])
def test_a_name_that_cannot_be_one_is_refused_where_it_is_written(name):
    with pytest.raises(BadNameError):
        task_type(name)(count_words.handler)


def test_a_function_of_the_wrong_shape_is_refused_where_it_is_written():
    async def lonely(context: TaskContext) -> None: ...

    def plain(context: TaskContext, parameters: dict[str, Any]) -> None: ...

    with pytest.raises(TypeError, match=r"lonely must take \(context, parameters\)"):
        TaskType("lonely", cast(Any, lonely))
    with pytest.raises(TypeError, match="plain must be an async function"):
        TaskType("plain", cast(Any, plain))


@task_type("totals", passes=True)
async def totals(contexts: list[TaskContext], parameters: list[Words]) -> list[int | Exception]:
    return [len(each.words) if each.words else ValueError("no words") for each in parameters]


async def test_a_handler_of_passes_gets_the_structs_of_all_tasks_and_answers_each():
    assert totals.passes
    assert not count_words.passes
    parameters = [totals.decode(b'{"words": ["a"]}'), totals.decode(b'{"words": []}')]
    one, error = await totals.run([NO_CONTEXT] * 2, parameters)
    assert (one, str(error)) == (1, "no words")
    assert await totals.run_alone(NO_CONTEXT, parameters[0]) == 1
    with pytest.raises(ValueError, match="no words"):
        await totals.run_alone(NO_CONTEXT, parameters[1])


@pytest.mark.parametrize("answers", [[], [1, 2, 3], (1, 2), None, {"a": 1, "b": 2}])
async def test_answers_that_are_not_one_for_each_task_are_an_error_of_the_worker(answers):
    @task_type("wrong", passes=True)
    async def wrong(contexts: list[TaskContext], parameters: list[Any]) -> Any:
        return answers

    with pytest.raises(WorkerError, match="wrong must return a list of 2 answers, one for each task"):
        await wrong.run([NO_CONTEXT] * 2, [1, 2])


async def test_a_pass_without_types_takes_any_parameters():
    async def anything(contexts, parameters):
        return parameters

    assert TaskType("anything", anything, passes=True).decode(b'[1, "a"]') == [1, "a"]


def test_an_answer_may_encode_itself():
    class Own:
        def to_json(self) -> bytes:
            return b"[1]"

    assert totals.encode(Own()) == b"[1]"


def test_a_function_that_takes_no_lists_is_no_handler_of_passes_nor_the_other_way_round():
    async def single(context: TaskContext, parameters: list[int]) -> None: ...

    async def mixed(contexts: list[TaskContext], parameters: Words) -> None: ...

    async def lists(contexts: list[TaskContext], parameters: list[Words]) -> None: ...

    async def lonely(contexts: list[TaskContext]) -> None: ...

    with pytest.raises(TypeError, match=r"single has passes=True, so its context must be a list\[...\]"):
        TaskType("single", single, passes=True)
    with pytest.raises(TypeError, match=r"mixed has passes=True, so its parameters must be a list\[...\]"):
        TaskType("mixed", cast(Any, mixed), passes=True)
    with pytest.raises(TypeError, match="lists takes a list of contexts: say passes=True"):
        TaskType("lists", cast(Any, lists))
    with pytest.raises(TypeError, match=r"lonely must take \(contexts, parameters\), both lists"):
        TaskType("lonely", cast(Any, lonely), passes=True)


def test_a_pass_has_until_its_last_deadline():
    def context(deadline: float | None) -> TaskContext:
        nothing = cast(Any, None)
        return TaskContext(task_id="t", label="a", runtime=nothing, tokens=nothing, limits=nothing, deadline=deadline)

    now = time.monotonic()
    assert pass_timeout_s([context(now + 10), context(now + 100)]) == pytest.approx(100, abs=9)
    assert pass_timeout_s([context(now + 10), context(None)]) is None
    assert pass_timeout_s([context(now - 5)]) == 0.001


def test_the_task_types_that_come_with_a_worker():
    assert set(task_types_of([embed_texts, infer, sample_pass])) == {"embed_texts", "infer", "sample_task"}
    assert set(task_types_of([embed_texts, infer, sample_task])) == {"embed_texts", "infer", "sample_task"}


def test_two_handlers_of_one_name_are_refused_and_one_imported_twice_is_not():
    async def other(context: TaskContext, parameters: Any) -> None: ...

    mine = cast(ModuleType, SimpleNamespace(a=count_words, b=count_words, __name__="mine"))
    again = cast(ModuleType, SimpleNamespace(c=count_words, __name__="again"))
    clash = cast(ModuleType, SimpleNamespace(d=TaskType("count_words", other), __name__="clash"))
    assert task_types_of([mine, again]) == {"count_words": count_words}
    with pytest.raises(InvalidInputError, match="two handlers for the task type count_words; one is in clash"):
        task_types_of([mine, clash])
