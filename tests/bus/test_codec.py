import contextlib
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import codec
from bus.errors import MalformedError
from bus.messages import (
    ConvertReply,
    ConvertRequest,
    HeldLabel,
    LogRecord,
    Result,
    Status,
    Task,
    WorkerEntry,
    WorkerState,
)

label = st.from_regex(r"[a-z0-9_]{1,9}(/[a-z0-9_][a-z0-9_.]{0,3}){0,2}", fullmatch=True)
worker_id = st.from_regex(r"[a-z][a-z0-9_-]{0,9}", fullmatch=True).filter(lambda text: text != "any")
task_id = st.from_regex(r"[a-z0-9][a-z0-9:._-]{0,19}", fullmatch=True)
small = st.integers(0, 2**31)
ms = st.floats(0, 1e9)

tasks = st.builds(
    Task,
    task_id=task_id,
    task_type=st.sampled_from(["embed_texts", "infer", "own_type"]),
    label=label,
    parameters=st.binary(max_size=100),
    deadline_ms=st.integers(0, 2**62),
    attempt=small,
    evict_label=st.just("") | label,
    sent_ms=st.integers(0, 2**62),
    route=st.sampled_from(["", "hit", "load"]),
    waited_ms=ms,
    expected_ms=ms,
)
states = st.builds(
    WorkerState,
    worker_id=worker_id,
    epoch_ms=st.integers(0, 2**62),
    revision=small,
    labels=st.lists(label, max_size=4).map(tuple),
    loading=st.lists(label, max_size=4).map(tuple),
    running=small,
    slots=small,
    capacity=small,
    draining=st.booleans(),
    pass_tasks=st.integers(1, 2**31),
    passes=small,
)
results = st.builds(
    Result,
    task_id=task_id,
    worker_id=worker_id,
    status=st.sampled_from(Status),
    output=st.binary(max_size=100),
    error_code=st.text(max_size=20),
    error_message=st.text(max_size=50),
    label_hit=st.booleans(),
    queue_ms=ms,
    load_ms=ms,
    run_ms=ms,
    evicted_label=st.just("") | label,
    state=st.none() | states,
    attempt=small,
    pass_size=st.integers(1, 2**31),
)
entries = st.builds(
    WorkerEntry,
    worker_id=worker_id,
    labels=st.dictionaries(label, st.builds(HeldLabel, load_ms=ms, since=st.text(max_size=30)), max_size=4),
    capacity=small,
    slots=small,
    task_types=st.lists(st.text(max_size=10), max_size=3).map(tuple),
    pass_tasks=small,
    pass_types=st.lists(st.text(max_size=10), max_size=3).map(tuple),
    kind=st.text(max_size=10),
)


@given(tasks)
def test_a_task_survives_the_wire(task):
    assert codec.decode_task(codec.encode_task(task)) == task


@given(results)
def test_a_result_survives_the_wire(result):
    assert codec.decode_result(codec.encode_result(result)) == result


@given(results, states)
def test_a_state_that_is_appended_is_that_of_the_result(result, state):
    bare = codec.encode_result(msgspec.structs.replace(result, state=None))
    whole = codec.append_state(bare, codec.encode_state(state))
    assert codec.decode_result(whole) == msgspec.structs.replace(result, state=state)


def test_a_state_of_hundreds_of_labels_can_be_appended():
    labels = tuple(f"organisation/model-{number}" for number in range(1_000))
    state = WorkerState(worker_id="w", labels=labels)
    whole = codec.append_state(
        codec.encode_result(Result(task_id="t", worker_id="w", status=Status.OK)), codec.encode_state(state)
    )
    assert codec.decode_result(whole).state == state


@given(states)
def test_a_state_survives_the_wire(state):
    assert codec.decode_state(codec.encode_state(state)) == state


@given(entries)
def test_a_registry_entry_survives_the_bucket(entry):
    assert codec.decode_entry(codec.encode_entry(entry)) == entry


@given(st.text(min_size=1, max_size=50), small, st.booleans())
def test_a_conversion_survives_the_wire(model_id, size, overwrite):
    request = ConvertRequest(model_id=model_id, max_batch_size=size, overwrite=overwrite)
    assert codec.decode_convert_request(codec.encode_convert_request(request)) == request
    reply = ConvertReply(model_name=model_id, message=model_id, error_code="x", seconds=1.5)
    assert codec.decode_convert_reply(codec.encode_convert_reply(reply)) == reply


DECODERS = [
    codec.decode_task,
    codec.decode_result,
    codec.decode_state,
    codec.decode_entry,
    codec.decode_convert_request,
    codec.decode_convert_reply,
    codec.decode_progress,
    codec.decode_record,
]


@pytest.mark.parametrize("decode", DECODERS)
@given(data=st.binary(max_size=200))
def test_garbage_is_a_message_or_malformed_and_nothing_else(decode, data):
    with contextlib.suppress(MalformedError):
        decode(data)


@pytest.mark.parametrize("decode", [codec.decode_entry, codec.decode_record, codec.decode_progress])
def test_json_that_is_nested_too_deeply_is_malformed(decode):
    with pytest.raises(MalformedError):
        decode(b'{"fields": ' + b'{"a":' * 100_000)


@pytest.mark.parametrize(
    ("decode", "encoded"),
    [(codec.decode_task, tasks.map(codec.encode_task)), (codec.decode_result, results.map(codec.encode_result))]
    + [(codec.decode_state, states.map(codec.encode_state)), (codec.decode_entry, entries.map(codec.encode_entry))],
)
@given(data=st.data())
def test_a_real_message_with_changed_bytes_is_a_message_or_malformed(decode, encoded, data):
    whole = bytearray(data.draw(encoded))
    for _ in range(data.draw(st.integers(1, 4))):
        if whole:
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    with contextlib.suppress(MalformedError):
        decode(bytes(whole[:cut]))


@pytest.mark.parametrize(
    "task",
    [
        Task(task_id="", task_type="t", label="l", parameters=b""),
        Task(task_id="a", task_type="", label="l", parameters=b""),
        Task(task_id="a", task_type="t", label="", parameters=b""),
        Task(task_id="a", task_type="t", label="../x", parameters=b""),
        Task(task_id="a", task_type="t", label="l", parameters=b"", evict_label=".."),
    ],
)
def test_a_task_whose_names_cannot_be_names_is_malformed(task):
    with pytest.raises(MalformedError):
        codec.decode_task(codec.encode_task(task))


def test_times_that_are_no_durations_are_malformed():
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(MalformedError):
            codec.decode_result(codec.encode_result(Result(task_id="a", worker_id="w", status=Status.OK, run_ms=bad)))
        with pytest.raises(MalformedError):
            codec.decode_task(
                codec.encode_task(Task(task_id="a", task_type="t", label="l", parameters=b"", waited_ms=bad))
            )


def test_a_person_can_read_a_registry_entry():
    entry = WorkerEntry(worker_id="w", labels={"a/b": HeldLabel(load_ms=12.5, since="2026-01-01T00:00:00Z")})
    text = codec.encode_entry(entry).decode()
    assert '\n  "worker_id": "w",\n' in text
    assert '"a/b": {\n      "load_ms": 12.5,' in text


def test_several_log_records_travel_as_lines():
    records = [LogRecord(time="t", level="INFO", component="c", id="i", event=f"e\n{n}") for n in range(3)]
    lines = codec.encode_records(records).split(b"\n")
    assert [codec.decode_record(line) for line in lines] == records


def test_the_generated_code_is_that_of_the_proto_file(tmp_path):
    source = Path(codec.__file__).parent / "proto"
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"-I{source}", f"--python_out={tmp_path}"]
        + [f"--pyi_out={tmp_path}", "labelbus_v1.proto"],
        check=True,
        cwd=source,
    )
    for name in ("labelbus_v1_pb2.py", "labelbus_v1_pb2.pyi"):
        assert (tmp_path / name).read_text() == (source / name).read_text(), "run `just proto`"


def test_every_field_of_a_message_has_a_counterpart_on_the_wire():
    from bus.proto import labelbus_v1_pb2 as pb

    for struct in (Task, Result, WorkerState, ConvertRequest, ConvertReply):
        message = getattr(pb, struct.__name__)
        assert {f.name for f in msgspec.structs.fields(struct)} == set(message.DESCRIPTOR.fields_by_name)
