"""Every subject and key fuzzed with real messages of which some bytes are changed."""

import asyncio
from typing import Any

import msgspec
import nats as nats_py
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bus.codec import encode_entry, encode_progress, encode_records, encode_result, encode_state, encode_task
from bus.messages import ConvertProgress, HeldLabel, LogRecord, Result, Status, Task, WorkerEntry, WorkerState

pytestmark = [pytest.mark.nats, pytest.mark.e2e]

MESSAGES = 120

GHOST = WorkerState(worker_id="ghost", epoch_ms=5, revision=7, labels=("acme/a",), running=1, slots=2, capacity=4)
TASK = Task(task_id="t-1", task_type="sample_task", label="acme/a", parameters=b"{}", deadline_ms=2**40, sent_ms=2**40)
RESULT = Result(task_id="t-1", worker_id="ghost", status=Status.OK, output=b"{}", run_ms=1.5, state=GHOST)
ENTRY = WorkerEntry(
    worker_id="ghost",
    labels={"acme/a": HeldLabel(load_ms=1.0, since="2026-01-01T00:00:00+00:00")},
    task_types=("sample_task",),
)
RECORD = LogRecord(time="2026-01-01T00:00:00.000000Z", level="INFO", component="worker", id="ghost", event="said")
PROGRESS = ConvertProgress(model_id="acme/a", model_name="acme--a", stage="done", fraction=1.0)


@st.composite
def changed(draw: st.DrawFn, message: bytes) -> bytes:
    """Return the message with some of its bytes changed, left out, repeated or made up."""
    data = bytearray(message)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 4)):
            case 0 if at < len(data):
                data[at] ^= draw(st.integers(1, 255))
            case 1:
                data[at:at] = draw(st.binary(max_size=12))
            case 2:
                del data[at : at + draw(st.integers(1, 12))]
            case 3:
                data[at:at] = data[at : at + draw(st.integers(1, 12))]
            case 4:
                del data[at:]
    return bytes(data)


def drawn(strategy: st.SearchStrategy[Any], count: int = MESSAGES) -> list[Any]:
    """Return values that are the same in every run."""
    found = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found


async def test_no_component_dies_of_a_message(pool):
    for name in ("w1", "w2"):
        await pool.worker(name)
    await pool.dispatcher()
    await pool.logsink()
    await pool.ready()
    alive = {name: part.pid for name, part in pool.parts.items()}
    messages = {
        "lb.task.w1": encode_task(TASK),
        "lb.task.any": encode_task(TASK),
        "lb.ping.w1": b"ping",
        "lb.state.ghost": encode_state(GHOST),
        "lb.reply.d1.1": encode_result(RESULT),
        "lb.reply.d1.p-1-ghost": encode_state(msgspec.structs.replace(GHOST, outstanding=("1", "x"))),
        "lb.event.convert.acme--a": encode_progress(PROGRESS),
        "lb.log.worker.ghost": encode_records([RECORD, RECORD]),
        "$KV.labels.worker.ghost": encode_entry(ENTRY),
        "$KV.labels.other": b"{}",
    }
    nc = await nats_py.connect(pool.nats.url)
    for subject, message in messages.items():
        for number, data in enumerate(drawn(changed(message))):
            await nc.publish(subject, data, reply="lb.fuzz.reply" if number % 2 else "")
        await nc.flush()
    await nc.close()
    answers = await asyncio.gather(*(pool.gateway.run_task(f"acme/{n}", deadline_s=30) for n in range(40)))
    assert [answer.code for answer in answers if answer.status != 200] == []
    assert {name: part.pid for name, part in pool.parts.items()} == alive
    for name in alive:
        assert "Traceback" not in pool.parts[name].output.read_text(), name
    assert pool.said("d1", "message ignored")
    assert pool.said("w1", "message ignored")
    assert pool.said("d1", "registry value ignored")
