"""Passes of a worker on a real NATS: tasks of a label gather while one runs, and each keeps its own promises."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from bus.codec import decode_result, encode_task
from bus.connection import Msg
from bus.errors import BadParametersError, RuntimeUnavailableError
from bus.messages import Result, Status, Task
from tests.worker.serving import DEADLINE_S, Worker, poll
from worker.tasks import TaskContext, TaskType, task_type

pytestmark = pytest.mark.nats

A_S, B_S = 0.008, 0.0002


class Together:
    """A task type whose passes wait at a gate and then answer as the parameters of each task say."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.passes: list[list[str]] = []
        self.kind = self._kind()

    def _kind(self) -> TaskType:
        @task_type("together", passes=True)
        async def together(contexts: list[TaskContext], parameters: list[str]) -> list[Any]:
            self.passes.append([context.task_id for context in contexts])
            await self.open.wait()
            if "raise" in parameters:
                raise ValueError("one of these is bad")
            if "away" in parameters:
                raise RuntimeUnavailableError("the runtime is away")
            if "too few" in parameters and len(parameters) > 1:
                return ["done"]
            return [BadParametersError("this one") if wanted == "bad" else wanted for wanted in parameters]

        return together


class Busy:
    """A worker with one slot, in which a task of label a runs until the gate is opened."""

    def __init__(self, worker: Worker, together: Together) -> None:
        self.worker = worker
        self.together = together
        self.sent: list[asyncio.Task[Result]] = []

    async def send(self, *tasks: str, label: str = "a", **fields: Any) -> None:
        """Send tasks, and return when the worker has them."""
        for wanted in tasks:
            name = f"t{len(self.sent)}"
            self.sent.append(
                asyncio.create_task(self.worker.send(name, "together", label=label, parameters=wanted, **fields))
            )
            await self.worker.state(lambda state: state.running == len(self.sent))

    async def results(self) -> list[Result]:
        self.together.open.set()
        return await asyncio.wait_for(asyncio.gather(*self.sent), DEADLINE_S)


async def busy(make_worker: Any, *, law: bool = True, **settings: Any) -> Busy:
    worker = await make_worker(**{"slots": 1, "window": 0, **settings})
    together = Together()
    worker.service._task_types["together"] = together.kind
    if law:
        for size in (1, 4, 1, 16, 8):
            worker.service._laws.observe("a", size, A_S + B_S * size)
    made = Busy(worker, together)
    await made.send("first")
    await poll(lambda: _true(together.passes))
    return made


async def _true(value: object) -> bool:
    return bool(value)


async def test_tasks_of_the_label_that_runs_gather_and_share_the_next_pass(make_worker):
    tasks = await busy(make_worker)
    await tasks.send("b", "c", "d", "e", "f")
    first, *others = await tasks.results()
    assert tasks.together.passes == [["t0"], ["t1", "t2", "t3", "t4", "t5"]]
    assert [json.loads(result.output) for result in others] == ["b", "c", "d", "e", "f"]
    assert [result.pass_size for result in (first, *others)] == [1, 5, 5, 5, 5, 5]
    assert len({result.run_ms for result in others}) == 1
    assert all(result.label_hit for result in others)
    assert [entry["pass"] for entry in tasks.worker.completed] == [1, 5, 5, 5, 5, 5]


async def test_what_gathers_takes_no_further_place_and_another_label_finds_none(make_worker):
    tasks = await busy(make_worker)
    await tasks.send("b", "c")
    state = await tasks.worker.ping()
    assert (state.running, state.passes, state.pass_tasks) == (3, 1, 64)
    assert (await tasks.worker.send("other", "together", label="b", parameters="x")).status is Status.BUSY
    assert (await tasks.worker.send("sample")).status is Status.BUSY
    assert {result.status for result in await tasks.results()} == {Status.OK}


async def test_a_worker_takes_two_passes_in_one_place_and_no_more(make_worker):
    tasks = await busy(make_worker, pass_tasks=2)
    await tasks.send("b", "c", "d")
    assert (await tasks.worker.send("more", "together", parameters="x")).status is Status.BUSY
    assert [result.pass_size for result in await tasks.results()] == [1, 2, 2, 1]


async def test_where_runs_cost_nothing_beside_their_tasks_they_run_alone_and_few_take_a_place(make_worker):
    """Eight in each of the three places, which dispatchers send only to find out whether passes pay."""
    tasks = await busy(make_worker, law=False, window=2)
    for size in (1, 4, 1, 16, 8):
        tasks.worker.service._laws.observe("a", size, 0.02 * size)
    await tasks.send(*(f"t{number}" for number in range(23)))
    assert (await tasks.worker.send("more", "together", parameters="x")).status is Status.BUSY
    assert {result.pass_size for result in await tasks.results()} == {1}


async def test_passes_are_off_with_one_task_each(make_worker):
    tasks = await busy(make_worker, pass_tasks=1, window=2)
    await tasks.send("b", "c")
    state = await tasks.worker.ping()
    assert (state.running, state.passes, state.pass_tasks) == (3, 0, 1)
    assert (await tasks.worker.send("more", "together", parameters="x")).status is Status.BUSY
    assert [result.pass_size for result in await tasks.results()] == [1, 1, 1]


async def test_a_task_that_the_handler_refuses_fails_alone(make_worker):
    tasks = await busy(make_worker)
    await tasks.send("b", "bad", "d")
    _, *others = await tasks.results()
    assert [(result.status, result.error_code) for result in others] == [
        (Status.OK, ""),
        (Status.FAILED, "bad_parameters"),
        (Status.OK, ""),
    ]
    assert len(tasks.together.passes) == 2


async def test_the_tasks_of_a_pass_that_fails_run_again_one_by_one_and_the_bad_one_fails_alone(make_worker, logged):
    tasks = await busy(make_worker)
    await tasks.send("b", "raise", "d")
    _, *others = await tasks.results()
    assert tasks.together.passes == [["t0"], ["t1", "t2", "t3"], ["t1"], ["t2"], ["t3"]]
    assert [(result.status, result.error_code, result.pass_size) for result in others] == [
        (Status.OK, "", 1),
        (Status.FAILED, "worker_failed", 1),
        (Status.OK, "", 1),
    ]
    (record,) = logged.of("pass failed, its tasks run one by one")
    assert (record["tasks"], record["label"]) == (3, "a")


@pytest.mark.parametrize(("parameter", "code"), [("away", "runtime_unavailable"), ("too few", "worker_failed")])
async def test_a_failure_of_the_runtime_or_of_the_handler_is_that_of_all(make_worker, parameter, code):
    tasks = await busy(make_worker)
    await tasks.send("b", parameter, "d")
    _, *others = await tasks.results()
    assert [(result.status, result.error_code) for result in others] == [(Status.FAILED, code)] * 3
    assert len(tasks.together.passes) == 2


async def test_parameters_that_do_not_fit_fail_their_task_at_once(make_worker):
    tasks = await busy(make_worker)
    assert (await tasks.worker.send("wrong", "together", parameters=3)).error_code == "bad_parameters"
    await tasks.send("b")
    assert {result.status for result in await tasks.results()} == {Status.OK}


async def test_a_task_whose_deadline_passed_before_its_pass_began_is_left_out(make_worker):
    tasks = await busy(make_worker)
    await tasks.send("b", "c", "d")
    (late,) = (taken for taken in tasks.worker.service._in_flight.tasks() if taken.task.task_id == "t2")
    late.deadline = 0.0
    _, *others = await tasks.results()
    assert tasks.together.passes == [["t0"], ["t1", "t3"]]
    assert [(result.error_code, result.pass_size) for result in others] == [("", 2), ("deadline_passed", 1), ("", 2)]


async def test_a_task_that_was_tried_before_takes_a_place_and_runs_alone(make_worker):
    tasks = await busy(make_worker, window=1)
    await tasks.send("b")
    await tasks.send("c", attempt=2)
    await tasks.send("d")
    assert (await tasks.worker.ping()).passes == 2
    assert [result.pass_size for result in await tasks.results()] == [1, 2, 1, 2]
    assert tasks.together.passes == [["t0"], ["t1", "t3"], ["t2"]]


async def test_task_types_of_one_label_run_in_passes_of_their_own(make_worker):
    tasks = await busy(make_worker)

    @task_type("apart", passes=True)
    async def apart(contexts: list[TaskContext], parameters: list[Any]) -> list[int]:
        return [len(contexts)] * len(contexts)

    tasks.worker.service._task_types["apart"] = apart
    await tasks.send("b", "c")
    other = asyncio.create_task(tasks.worker.send("other", "apart"))
    await tasks.worker.state(lambda state: state.running == 4)
    await tasks.results()
    assert json.loads((await other).output) == 1


async def test_a_worker_that_stops_answers_the_tasks_of_the_pass_and_those_that_gather(make_worker):
    tasks = await busy(make_worker, drain_s=0.05)
    await tasks.send("b", "c", "d")
    tasks.worker.stopping.set()
    results = await asyncio.wait_for(asyncio.gather(*tasks.sent), DEADLINE_S)
    assert {result.error_code for result in results} == {"runtime_unavailable"}
    await asyncio.wait_for(tasks.worker.running, DEADLINE_S)
    assert tasks.worker.service._gathering.free_slots == 1


async def test_the_registry_tells_what_shares_passes(make_worker):
    worker = await make_worker(kind="l4", pass_tasks=32)
    entry = await worker.entry()
    assert (entry["kind"], entry["pass_tasks"], entry["pass_types"]) == ("l4", 32, ["embed_texts", "infer"])
    assert "sample_task" in entry["task_types"]


async def test_a_kind_is_the_runtime_where_none_is_given(worker):
    assert (await worker.entry())["kind"] == "simulated"


async def test_the_run_times_of_a_label_are_learnt_from_hits(make_worker):
    tasks = await busy(make_worker, law=False)
    await tasks.send("b", "c", "d")
    laws = tasks.worker.service._laws
    await tasks.results()
    assert laws._laws["a"].times.is_seen
    await asyncio.wait_for(tasks.worker.send("other", "together", label="b", parameters="x"), DEADLINE_S)
    assert "b" not in laws._laws


async def test_tasks_that_are_cancelled_before_their_first_step_are_answered(worker):
    replies: asyncio.Queue[Result] = asyncio.Queue()

    async def on_reply(msg: Msg) -> None:
        replies.put_nowait(decode_result(msg.data))

    await worker.send()
    await worker.bus.subscribe("reply.d.*", on_reply)
    await worker.bus.settle()
    for number in range(2):
        task = Task(task_id=f"t{number}", task_type="sample_task", label="a", parameters=b"{}")
        message: Any = SimpleNamespace(data=encode_task(task), subject="", reply=f"reply.d.{number}")
        await worker.service._on_task(message)
    await worker.service._runner.cancel()
    answers = [await asyncio.wait_for(replies.get(), DEADLINE_S) for _ in range(2)]
    assert {answer.error_code for answer in answers} == {"runtime_unavailable"}
    assert (await worker.ping()).running == 0
