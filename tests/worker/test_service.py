"""A worker on a real NATS, its runtime simulated."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import nats.errors
import pytest
from nats.aio.msg import Msg
from nats.js.kv import KeyValue

from bus.codec import decode_result, decode_state, encode_task
from bus.connection import Bus, connect
from bus.errors import LoadError, RuntimeUnavailableError
from bus.messages import Result, Status, Task, WorkerState
from bus.settings import BusSettings
from worker.handlers import embed_texts, infer, sample_task
from worker.runtimes.protocol import LabelsLost
from worker.runtimes.simulated import SimulatedRuntime
from worker.service import WorkerService
from worker.settings import WorkerSettings
from worker.tasks import TaskContext, TaskType, task_type, task_types_of

pytestmark = pytest.mark.nats

DEADLINE_S = 30
GARBAGE = [b"", b"\x00", b"\xff" * 50, b"{}", b"\x0a\x80", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 20]


class Runtime(SimulatedRuntime):
    """A simulated runtime that can lose its labels and fail to load them."""

    def __init__(self) -> None:
        super().__init__(0)
        self.failures: dict[str, Exception] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.loads: list[str] = []
        self.stopped = False
        self._lost: LabelsLost | None = None

    def on_labels_lost(self, callback: LabelsLost) -> None:
        self._lost = callback

    def lose(self, *labels: str) -> None:
        assert self._lost is not None
        self._lost(frozenset(labels))

    async def load(self, label: str) -> None:
        self.loads.append(label)
        await self.gate.wait()
        if label in self.failures:
            raise self.failures[label]

    async def stop(self) -> None:
        self.stopped = True


class Reluctant(Runtime):
    """Does not come up."""

    def __init__(self) -> None:
        super().__init__()
        self.starting = asyncio.Event()

    async def start(self) -> None:
        self.starting.set()
        await asyncio.Event().wait()


class Gate:
    """Task types that wait until they are let go, and others that misbehave."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.entered: asyncio.Queue[str] = asyncio.Queue()

    def task_types(self) -> dict[str, TaskType]:
        @task_type("wait")
        async def wait(context: TaskContext, parameters: Any) -> dict[str, str]:
            self.entered.put_nowait(context.task_id)
            await self.open.wait()
            return {"task": context.task_id}

        @task_type("misbehave")
        async def misbehave(context: TaskContext, parameters: str) -> Any:
            match parameters:
                case "raise":
                    raise ValueError("the handler is wrong")
                case "exit":
                    raise SystemExit(3)
                case "unencodable":
                    return object()
                case "large":
                    return "x" * (2 * 1024 * 1024)
                case "left":
                    return context.timeout_s

        return {kind.name: kind for kind in (wait, misbehave)}


class Worker:
    """A running worker, and what a dispatcher would do with it."""

    def __init__(self, bus: Bus, own: Bus, settings: WorkerSettings) -> None:
        self.bus = bus
        self.settings = settings
        self.gate = Gate()
        self.runtime = Runtime()
        types = {**task_types_of([embed_texts, infer, sample_task]), **self.gate.task_types()}
        self.completed: list[dict[str, Any]] = []
        self.service = WorkerService(own, settings, settings.id, self.runtime, types, log_task=self._log_task)
        self.stopping = asyncio.Event()
        self.ready = asyncio.Event()
        self.states: list[WorkerState] = []
        self.told = asyncio.Event()

    async def start(self) -> None:
        await self.bus.nc.subscribe(self.bus.subjects.state("w"), cb=self._on_state)
        await self.bus.settle()
        self.running = asyncio.create_task(self.service.run(self.stopping, self.ready))
        async with asyncio.timeout(DEADLINE_S):
            await self.ready.wait()

    def _log_task(self, event: str, **fields: Any) -> None:
        self.completed.append({"event": event, **fields})

    async def _on_state(self, msg: Msg) -> None:
        self.states.append(decode_state(msg.data))
        self.told.set()

    async def state(self, wanted: Callable[[WorkerState], bool]) -> WorkerState:
        """The next state that was told and fits."""
        async with asyncio.timeout(DEADLINE_S):
            while not (self.states and wanted(self.states[-1])):
                self.told.clear()
                await self.told.wait()
        return self.states[-1]

    async def send(
        self, task_id: str = "t", kind: str = "sample_task", label: str = "a", parameters: object = None, **fields: Any
    ) -> Result:
        return await self.send_to(self.bus.subjects.task("w"), task_id, kind, label, parameters, **fields)

    async def send_to(
        self, subject: str, task_id: str, kind: str, label: str, parameters: object, **fields: Any
    ) -> Result:
        raw = msgspec.json.encode({} if parameters is None else parameters)
        task = Task(task_id=task_id, task_type=kind, label=label, parameters=raw, **fields)
        msg = await self.bus.nc.request(subject, encode_task(task), timeout=DEADLINE_S)
        return decode_result(msg.data)

    def begin(self, task_id: str, label: str = "a") -> "asyncio.Task[Result]":
        return asyncio.create_task(self.send(task_id, "wait", label))

    async def entered(self) -> str:
        return await asyncio.wait_for(self.gate.entered.get(), DEADLINE_S)

    async def ping(self) -> WorkerState:
        return decode_state((await self.bus.nc.request(self.bus.subjects.ping("w"), timeout=DEADLINE_S)).data)

    async def members(self) -> bool:
        """True if somebody listens to the queue group's subject; asked with bytes that nobody takes for a task."""
        try:
            await self.bus.nc.request(self.bus.subjects.task_any, b"\xff", timeout=0.3)
        except nats.errors.NoRespondersError:
            return False
        except TimeoutError:
            return True
        raise AssertionError("bytes that are no task were answered")

    async def entry(self) -> dict[str, Any]:
        kv = await self.bus.js.key_value(self.bus.subjects.bucket)
        entry: dict[str, Any] = json.loads((await kv.get("worker.w")).value or b"")
        return entry

    async def entry_with(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        kv = await self.bus.js.key_value(self.bus.subjects.bucket)
        watcher = await kv.watch("worker.w")
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    update = await watcher._updates.get()
                    if (
                        isinstance(update, KeyValue.Entry)
                        and update.value
                        and wanted(entry := json.loads(update.value))
                    ):
                        return dict(entry)
        finally:
            await watcher.stop()

    async def stop(self) -> None:
        self.gate.open.set()
        self.runtime.gate.set()
        self.stopping.set()
        await asyncio.wait_for(self.running, DEADLINE_S)


MakeWorker = Callable[..., Any]


@pytest.fixture
async def make_worker(bus: Bus, settings: BusSettings) -> AsyncIterator[MakeWorker]:
    async with contextlib.AsyncExitStack() as stack:

        async def make(**fields: Any) -> Worker:
            own = await stack.enter_async_context(connect(settings, name="worker"))
            asked = {**msgspec.structs.asdict(settings), "worker_id": "w", "heartbeat_s": 60.0, **fields}
            worker = Worker(bus, own, WorkerSettings(**asked))
            await worker.start()
            stack.push_async_callback(worker.stop)
            return worker

        yield make


@pytest.fixture
async def worker(make_worker: MakeWorker) -> Worker:
    made: Worker = await make_worker()
    return made


async def test_the_log_of_a_task_says_why_it_came_here_and_what_each_step_took_beside_what_was_expected(worker):
    await worker.send(route="copy", waited_ms=1.25, expected_ms=420.5, attempt=2)
    await worker.send(route="hit", waited_ms=0.0, expected_ms=0.5)
    first, second = worker.completed
    assert (first["route"], first["waited_ms"], first["expected_ms"], first["attempt"]) == ("copy", 1.25, 420.5, 2)
    assert (first["label_hit"], second["label_hit"]) == (False, True)
    assert {"task_id", "task_type", "label", "queue_ms", "load_ms", "run_ms"} <= first.keys()
    assert (second["route"], second["load_ms"]) == ("hit", 0.0)


async def test_the_first_task_of_a_label_is_a_miss_and_the_second_a_hit(worker):
    first = await worker.send("t1")
    second = await worker.send("t2")
    assert (first.status, first.label_hit, first.evicted_label) == (Status.OK, False, "")
    assert first.load_ms > 0
    assert (second.status, second.label_hit, second.load_ms) == (Status.OK, True, 0.0)
    assert (second.task_id, second.worker_id, second.attempt) == ("t2", "w", 1)
    assert json.loads(second.output)["label"] == "a"
    assert second.state is not None
    assert (second.state.labels, second.state.running) == (("a",), 0)
    assert worker.runtime.loads == ["a"]


async def test_a_label_is_given_up_for_another_when_there_is_no_room(make_worker):
    worker = await make_worker(capacity=1)
    await worker.send(label="a")
    result = await worker.send(label="b")
    assert result.evicted_label == "a"
    assert result.state is not None
    assert result.state.labels == ("b",)


async def test_the_dispatchers_proposal_is_followed(worker):
    for label in ("a", "a", "a", "b"):
        await worker.send(label=label)
    assert (await worker.send(label="c", evict_label="a")).evicted_label == "a"


async def test_both_ways_to_write_a_label_are_one(worker):
    await worker.send(label="org/model")
    assert (await worker.send(label="org--model")).label_hit


async def test_a_task_over_slots_and_window_is_busy_at_once(make_worker):
    worker = await make_worker(slots=2, window=1, capacity=2)
    running = [worker.begin(f"t{number}") for number in range(2)]
    for _ in running:
        await worker.entered()
    ahead = worker.begin("ahead")
    await worker.state(lambda state: state.running == 3)
    busy = await worker.send("over")
    assert busy.status is Status.BUSY
    assert busy.state is not None
    assert (busy.state.running, busy.state.slots) == (3, 2)
    worker.gate.open.set()
    results = [await asyncio.wait_for(task, DEADLINE_S) for task in (*running, ahead)]
    assert {result.status for result in results} == {Status.OK}


async def test_a_full_worker_leaves_the_queue_group_and_joins_again(make_worker):
    worker = await make_worker(window=0)
    subject = worker.bus.subjects.task_any
    await worker.ping()
    taken = await worker.send_to(subject, "t", "sample_task", "a", None)
    assert (taken.status, taken.worker_id) == (Status.OK, "w")
    running = worker.begin("t1")
    await worker.entered()
    await poll(lambda: negated(worker.members()))
    with pytest.raises(nats.errors.NoRespondersError):
        await worker.send_to(subject, "t2", "sample_task", "a", None)
    worker.gate.open.set()
    await running
    await poll(worker.members)
    assert (await worker.send_to(subject, "t3", "sample_task", "a", None)).status is Status.OK


async def test_the_queue_group_shares_tasks_out_and_gives_each_to_one(make_worker):
    workers = [await make_worker(worker_id=name, slots=1, window=0) for name in ("w", "x")]
    subject = workers[0].bus.subjects.task_any

    async def insist(task_id: str) -> Result:
        while True:  # the server may send both to one worker before it has left
            result: Result = await workers[0].send_to(subject, task_id, "wait", "a", None)
            if result.status is not Status.BUSY:
                return result

    sent = [asyncio.create_task(insist(f"t{number}")) for number in range(2)]
    for worker in workers:
        await asyncio.wait_for(worker.gate.entered.get(), DEADLINE_S)
    for worker in workers:
        worker.gate.open.set()
    assert {(await task).worker_id for task in sent} == {"w", "x"}


async def test_a_state_is_told_when_a_worker_becomes_idle(make_worker):
    worker = await make_worker(window=0)
    running = worker.begin("t")
    await worker.entered()
    worker.gate.open.set()
    await running
    idle = await worker.state(lambda state: state.running == 0 and state.labels == ("a",))
    assert idle.revision > 0
    assert [state.revision for state in worker.states] == sorted({state.revision for state in worker.states})


async def test_states_are_at_most_twenty_a_second_while_slots_are_free(make_worker):
    worker = await make_worker(slots=50, capacity=50, window=0)
    await worker.send()
    await worker.state(lambda state: state.running == 0)
    told, began = len(worker.states), time.monotonic()
    for batch in range(30):
        await asyncio.gather(*(worker.send(f"t{batch}.{number}", parameters={"sleep_ms": 5}) for number in range(10)))
    await worker.bus.settle()
    assert len(worker.states) - told <= 20 * (time.monotonic() - began) + 2


async def test_the_registry_entry_is_json_that_a_person_can_read(make_worker):
    worker = await make_worker(slots=2, capacity=3)
    await worker.send(label="sentence-transformers/all-MiniLM-L6-v2")
    entry = await worker.entry_with(lambda found: bool(found["labels"]))
    held = entry["labels"]["sentence-transformers/all-MiniLM-L6-v2"]
    assert held["load_ms"] >= 0
    assert held["since"].endswith("+00:00")
    assert (entry["worker_id"], entry["state"], entry["runtime"]) == ("w", "ready", "simulated")
    assert (entry["slots"], entry["capacity"]) == (2, 3)
    assert {"embed_texts", "infer", "sample_task"} <= set(entry["task_types"])
    kv = await worker.bus.js.key_value(worker.bus.subjects.bucket)
    raw = (await kv.get("worker.w")).value or b""
    assert b'\n  "capacity": 3,' in raw


async def test_a_ping_is_answered_with_the_state_also_while_the_worker_is_full(make_worker):
    worker = await make_worker(window=0)
    running = worker.begin("t")
    await worker.entered()
    state = await worker.ping()
    assert (state.worker_id, state.running, state.draining) == ("w", 1, False)
    worker.gate.open.set()
    await running


async def test_garbage_is_counted_and_the_worker_works_on(worker):
    subjects = worker.bus.subjects
    for subject in (subjects.task("w"), subjects.task_any):
        for payload in GARBAGE:
            await worker.bus.nc.publish(subject, payload, reply="nobody.listens")
            await worker.bus.nc.publish(subject, payload)
    for payload in GARBAGE:
        await worker.bus.nc.publish(subjects.ping("w"), payload)
    assert (await worker.send()).status is Status.OK
    await worker.ping()
    await poll(lambda: truth(worker.service.malformed == 4 * len(GARBAGE)))
    assert worker.service._presence.occupied == 0


async def test_a_task_without_a_reply_subject_is_run_and_its_slot_comes_back(worker):
    await worker.bus.nc.publish(
        worker.bus.subjects.task("w"), encode_task(Task(task_id="t", task_type="wait", label="a", parameters=b"{}"))
    )
    await worker.entered()
    worker.gate.open.set()
    assert (await worker.state(lambda state: state.running == 0)).labels == ("a",)


@pytest.mark.parametrize(
    ("kind", "parameters", "code", "says"),
    [
        ("unheard_of", {}, "unknown_task_type", "no handler for unheard_of; it has embed_texts, infer"),
        ("sample_task", {"sleep_ms": -1}, "bad_parameters", "$.sleep_ms"),
        ("sample_task", {"sleep": 1}, "bad_parameters", "unknown field"),
        ("sample_task", [], "bad_parameters", "got `array`"),
        ("misbehave", "raise", "worker_failed", "the handler is wrong"),
        ("misbehave", "exit", "worker_failed", "misbehave failed: 3"),
        ("misbehave", "unencodable", "worker_failed", "misbehave failed"),
        ("misbehave", "large", "too_large", "and NATS takes"),
        ("infer", {"inputs": [{"name": "x", "shape": [1], "datatype": "INT8", "data": [1]}]}, "bad_parameters", "no "),
        ("embed_texts", {"texts": ["a"] * 1025}, "bad_parameters", "at most 1,024"),
        ("embed_texts", {"texts": ["a" * 500_000]}, "bad_parameters", "500,000 characters; at most 100,000"),
        ("embed_texts", {"texts": ["a"]}, "unknown_model", "no model a in the model repository"),
    ],
)
async def test_a_task_that_cannot_be_run_says_why_and_the_worker_works_on(worker, kind, parameters, code, says):
    result = await worker.send(kind=kind, parameters=parameters)
    assert (result.status, result.error_code) == (Status.FAILED, code)
    assert says in result.error_message
    assert (await worker.send()).status is Status.OK
    assert (await worker.ping()).running == 0


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000])
async def test_parameters_that_are_not_json_are_malformed(worker, raw):
    task = Task(task_id="t", task_type="sample_task", label="a", parameters=raw)
    msg = await worker.bus.nc.request(worker.bus.subjects.task("w"), encode_task(task), timeout=DEADLINE_S)
    result = decode_result(msg.data)
    assert result.error_code in ("malformed", "bad_parameters")
    assert worker.runtime.loads == [], "nothing is loaded for it"


async def test_a_task_past_its_deadline_is_refused_and_its_label_not_loaded(worker):
    now_ms = time.time_ns() // 1_000_000
    result = await worker.send(deadline_ms=now_ms - 1)
    assert result.error_code == "deadline_passed"
    assert worker.runtime.loads == []


async def test_a_deadline_that_passes_while_the_label_loads_ends_the_task_before_it_begins(worker):
    worker.runtime.gate.clear()
    now_ms = worker.service._clock.now_ms()
    sent = asyncio.create_task(worker.send(kind="wait", deadline_ms=now_ms + 200, sent_ms=now_ms))
    await poll(lambda: truth(worker.service._clock.now_ms() > now_ms + 200 and worker.runtime.loads == ["a"]))
    worker.runtime.gate.set()
    assert (await sent).error_code == "deadline_passed"
    assert worker.gate.entered.empty(), "the handler was never called"


async def test_a_deadline_by_a_clock_that_is_an_hour_off_leaves_its_time_to_the_task(worker):
    for skew_ms in (-3_600_000, 3_600_000):
        sent_ms = time.time_ns() // 1_000_000 + skew_ms
        result = await worker.send(
            kind="misbehave", parameters="left", sent_ms=sent_ms, deadline_ms=sent_ms + 1_000_000
        )
        assert result.status is Status.OK, result.error_message
        assert 900 < json.loads(result.output) <= 1_000


async def test_a_load_that_fails_is_told_with_its_reason_and_others_are_not_disturbed(worker):
    worker.runtime.failures["bad"] = LoadError("the graph is broken")
    for _ in range(2):
        result = await worker.send(label="bad")
        assert (result.status, result.error_code) == (Status.FAILED, "load_failed")
        assert "the graph is broken" in result.error_message
    assert (await worker.send(label="good")).status is Status.OK
    assert worker.runtime.loads == ["bad", "good"]


async def test_lost_labels_leave_the_registry_and_are_loaded_again(worker):
    await worker.send(label="a")
    await worker.entry_with(lambda entry: "a" in entry["labels"])
    worker.runtime.lose("a")
    await worker.entry_with(lambda entry: not entry["labels"])
    assert not (await worker.send(label="a")).label_hit
    assert worker.runtime.loads == ["a", "a"]


async def test_many_tasks_of_many_labels_are_all_answered(make_worker):
    worker = await make_worker(slots=4, capacity=4, window=60)
    worker.runtime.failures["d"] = RuntimeUnavailableError("away")
    sent = [worker.send(f"t{number}", label="abcdefgh"[number % 8]) for number in range(60)]
    results = await asyncio.wait_for(asyncio.gather(*sent), DEADLINE_S)
    assert sorted(result.task_id for result in results) == sorted(f"t{number}" for number in range(60))
    assert {(result.status, result.error_code) for result in results} == {
        (Status.OK, ""),
        (Status.FAILED, "runtime_unavailable"),
    }
    assert max(len(state.labels) + len(state.loading) for state in worker.states) <= 4 + 60
    assert all(len(state.labels) <= 4 for state in worker.states)


async def test_a_worker_that_is_told_to_stop_finishes_what_runs_and_takes_nothing_more(make_worker):
    worker = await make_worker(slots=2, window=1)
    running = worker.begin("t1")
    await worker.entered()
    worker.stopping.set()
    assert (await worker.state(lambda state: state.draining)).running == 1
    entry = await worker.entry_with(lambda found: found["state"] == "draining")
    assert entry["worker_id"] == "w"
    assert (await worker.send("t2")).status is Status.BUSY
    await poll(lambda: negated(worker.members()))
    assert not worker.running.done()
    worker.gate.open.set()
    assert (await asyncio.wait_for(running, DEADLINE_S)).status is Status.OK
    await asyncio.wait_for(worker.running, DEADLINE_S)
    await gone(worker)


async def test_an_idle_worker_that_is_told_to_stop_is_gone_when_it_says_so(worker):
    await poll(worker.members)
    worker.stopping.set()
    await asyncio.wait_for(worker.running, DEADLINE_S)
    assert worker.states[-1].draining
    await poll(lambda: negated(worker.members()))
    await gone(worker)


async def gone(worker: Worker) -> None:
    """No key, and nobody who listens, although its connection is still open."""
    kv = await worker.bus.js.key_value(worker.bus.subjects.bucket)
    assert "worker.w" not in await keys(kv)
    for subject in (worker.bus.subjects.task("w"), worker.bus.subjects.ping("w"), worker.bus.subjects.task_any):
        with pytest.raises(nats.errors.NoRespondersError):
            await worker.bus.nc.request(subject, b"", timeout=DEADLINE_S)
    assert worker.runtime.stopped


async def test_tasks_that_outlast_the_drain_are_answered_so_that_others_may_run_them(make_worker):
    worker = await make_worker(drain_s=0.05, window=1)
    running, waiting = worker.begin("t1"), None
    await worker.entered()
    waiting = worker.begin("t2")
    await worker.state(lambda state: state.running == 2)
    worker.stopping.set()
    for task in (running, waiting):
        result = await asyncio.wait_for(task, DEADLINE_S)
        assert (result.status, result.error_code) == (Status.FAILED, "runtime_unavailable")
    await asyncio.wait_for(worker.running, DEADLINE_S)


async def test_a_load_that_outlasts_the_drain_does_not_keep_the_worker(make_worker):
    worker = await make_worker(drain_s=0.05)
    worker.runtime.gate.clear()
    loading = worker.begin("t1")
    await worker.state(lambda state: state.loading == ("a",))
    worker.stopping.set()
    result = await asyncio.wait_for(loading, DEADLINE_S)
    assert result.error_code == "runtime_unavailable"
    await asyncio.wait_for(worker.running, DEADLINE_S)


async def test_a_worker_whose_state_leaves_no_room_still_answers(make_worker):
    worker = await make_worker(capacity=4000)
    for start in range(0, 4000, 20):
        await asyncio.gather(
            *(retried(worker, f"{'long-name-of-a-tenant/' * 8}{number}") for number in range(start, start + 20))
        )
        if sum(map(len, (await worker.ping()).labels)) > 25_000:
            break
    room = worker.bus.max_payload_bytes - 17_000
    worker.service._task_types["fill"] = filler(room)
    result = await worker.send(kind="fill", label=f"{'long-name-of-a-tenant/' * 8}0")
    assert len(result.output) > room
    assert result.state is None


def filler(size: int) -> TaskType:
    @task_type("fill")
    async def fill(context: TaskContext, parameters: Any) -> str:
        return "x" * size

    return fill


async def retried(worker: Worker, label: str) -> None:
    while (await worker.send(label=label)).status is Status.BUSY:
        pass


async def keys(kv: Any) -> list[str]:
    try:
        found: list[str] = await kv.keys()
    except nats.js.errors.NoKeysError:
        return []
    return found


async def truth(value: bool) -> bool:
    return value


async def negated(answer: Any) -> bool:
    return not await answer


async def poll(condition: Callable[[], Any]) -> None:
    """Ask again and again; for what nobody tells."""
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)


async def test_a_worker_that_is_told_to_stop_does_not_wait_for_a_runtime_that_does_not_come_up(bus, settings):
    own = WorkerSettings(**msgspec.structs.asdict(settings), worker_id="w")
    runtime = Reluctant()
    service = WorkerService(bus, own, "w", runtime, {})
    stopping, ready = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(service.run(stopping, ready))
    async with asyncio.timeout(DEADLINE_S):
        await runtime.starting.wait()
        stopping.set()
        await running
    assert runtime.stopped
    assert not ready.is_set()


async def test_a_runtime_that_does_not_start_is_the_error_of_the_worker(bus, settings):
    class Broken(Runtime):
        async def start(self) -> None:
            raise RuntimeUnavailableError("no Triton here")

    own = WorkerSettings(**msgspec.structs.asdict(settings), worker_id="w")
    runtime = Broken()
    with pytest.raises(RuntimeUnavailableError, match="no Triton here"):
        await WorkerService(bus, own, "w", runtime, {}).run(asyncio.Event(), asyncio.Event())
    assert runtime.stopped
