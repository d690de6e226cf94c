"""The encoding of messages as bytes. Protobuf classes do not leave this module.

For any bytes `decode_*` returns a whole, checked message or raises `MalformedError`.
"""

import math
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec
from google.protobuf.message import DecodeError, Message

from bus.errors import BadNameError, MalformedError
from bus.messages import (
    ConvertProgress,
    ConvertReply,
    ConvertRequest,
    LogRecord,
    Result,
    Status,
    Task,
    WorkerEntry,
    WorkerState,
)
from bus.names import check_task_id, check_task_type, check_worker_id, normalise_label
from bus.proto import labelbus_v1_pb2 as pb

MAX_MODEL_ID_CHARS: Final = 1024
MAX_ROUTE_CHARS: Final = 32

_STATUS: Final = {status.value: status for status in Status}

_NOT_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Errors of msgspec for bytes that are not JSON, or JSON nested too deeply."""

_STATE_TAG: Final = bytes([pb.Result.DESCRIPTOR.fields_by_name["state"].number << 3 | 2])
"""Field number and wire type (bytes with their length before them) of a result's state."""

M = TypeVar("M", bound=Message)

_entry_decoder = msgspec.json.Decoder(WorkerEntry)
_record_decoder = msgspec.json.Decoder(LogRecord)
_progress_decoder = msgspec.json.Decoder(ConvertProgress)
_json_encode = msgspec.json.Encoder().encode


def encode_task(task: Task) -> bytes:
    """Encode a `Task` as protobuf bytes."""
    return pb.Task(
        task_id=task.task_id,
        task_type=task.task_type,
        label=task.label,
        parameters=task.parameters,
        deadline_ms=task.deadline_ms,
        attempt=task.attempt,
        evict_label=task.evict_label,
        sent_ms=task.sent_ms,
        route=task.route,
        waited_ms=task.waited_ms,
        expected_ms=task.expected_ms,
    ).SerializeToString()


def decode_task(data: bytes) -> Task:
    """Return the `Task` in the bytes, its label in normal form; raises `MalformedError`."""
    message = _parse(pb.Task(), data, "Task")
    try:
        return Task(
            task_id=check_task_id(message.task_id),
            task_type=check_task_type(message.task_type),
            label=normalise_label(message.label),
            parameters=message.parameters,
            deadline_ms=message.deadline_ms,
            attempt=message.attempt,
            evict_label=message.evict_label and normalise_label(message.evict_label),
            sent_ms=message.sent_ms,
            route=message.route[:MAX_ROUTE_CHARS],
            waited_ms=_duration(message.waited_ms),
            expected_ms=_duration(message.expected_ms),
        )
    except (BadNameError, ValueError) as exc:
        raise MalformedError(f"Task: {exc}") from exc


def encode_result(result: Result) -> bytes:
    """Encode a `Result` as protobuf bytes."""
    message = pb.Result(
        task_id=result.task_id,
        worker_id=result.worker_id,
        status=result.status,  # type: ignore[arg-type]  # protoc types an enum's numbers as a class
        output=result.output,
        error_code=result.error_code,
        error_message=result.error_message,
        label_hit=result.label_hit,
        queue_ms=result.queue_ms,
        load_ms=result.load_ms,
        run_ms=result.run_ms,
        evicted_label=result.evicted_label,
        attempt=result.attempt,
        pass_size=result.pass_size,
    )
    if result.state is not None:
        _fill(message.state, result.state)  # in place: a message made apart would be copied
    return message.SerializeToString()


def append_state(result: bytes, state: bytes) -> bytes:
    """Return an encoded `Result` without a state with an encoded `WorkerState` as its state.

    Protobuf's encoding of a message is that of its fields in a row, so the state of many results is encoded once.
    """
    return b"".join((result, _STATE_TAG, _varint(len(state)), state))


def decode_result(data: bytes) -> Result:
    """Return the `Result` in the bytes; raises `MalformedError`."""
    message = _parse(pb.Result(), data, "Result")
    try:
        return Result(
            task_id=check_task_id(message.task_id),
            worker_id=check_worker_id(message.worker_id),
            status=_STATUS[message.status],
            output=message.output,
            error_code=message.error_code,
            error_message=message.error_message,
            label_hit=message.label_hit,
            queue_ms=_duration(message.queue_ms),
            load_ms=_duration(message.load_ms),
            run_ms=_duration(message.run_ms),
            evicted_label=message.evicted_label and normalise_label(message.evicted_label),
            state=_state_from_pb(message.state) if message.HasField("state") else None,
            attempt=message.attempt,
            pass_size=message.pass_size or 1,
        )
    except (BadNameError, ValueError) as exc:
        raise MalformedError(f"Result: {exc}") from exc
    except KeyError as exc:
        raise MalformedError(f"Result: {exc} is no status") from exc


def encode_state(state: WorkerState) -> bytes:
    """Encode a `WorkerState` as protobuf bytes."""
    message = pb.WorkerState()
    _fill(message, state)
    return message.SerializeToString()


def decode_state(data: bytes) -> WorkerState:
    """Return the `WorkerState` in the bytes; raises `MalformedError`."""
    try:
        return _state_from_pb(_parse(pb.WorkerState(), data, "WorkerState"))
    except BadNameError as exc:
        raise MalformedError(f"WorkerState: {exc}") from exc


def encode_convert_request(request: ConvertRequest) -> bytes:
    """Encode a `ConvertRequest` as protobuf bytes."""
    return pb.ConvertRequest(
        model_id=request.model_id, max_batch_size=request.max_batch_size, overwrite=request.overwrite
    ).SerializeToString()


def decode_convert_request(data: bytes) -> ConvertRequest:
    """Return the `ConvertRequest` in the bytes; raises `MalformedError`. The converter checks the model id."""
    message = _parse(pb.ConvertRequest(), data, "ConvertRequest")
    if not 0 < len(message.model_id) <= MAX_MODEL_ID_CHARS:
        raise MalformedError(f"ConvertRequest: model_id has 1 to {MAX_MODEL_ID_CHARS} characters")
    return ConvertRequest(model_id=message.model_id, max_batch_size=message.max_batch_size, overwrite=message.overwrite)


def encode_convert_reply(reply: ConvertReply) -> bytes:
    """Encode a `ConvertReply` as protobuf bytes."""
    return pb.ConvertReply(
        model_name=reply.model_name, message=reply.message, error_code=reply.error_code, seconds=reply.seconds
    ).SerializeToString()


def decode_convert_reply(data: bytes) -> ConvertReply:
    """Return the `ConvertReply` in the bytes; raises `MalformedError`."""
    message = _parse(pb.ConvertReply(), data, "ConvertReply")
    return ConvertReply(
        model_name=message.model_name,
        message=message.message,
        error_code=message.error_code,
        seconds=message.seconds,
    )


def encode_entry(entry: WorkerEntry) -> bytes:
    """Encode a registry entry as JSON, indented for `nats kv get`."""
    return msgspec.json.format(_json_encode(entry), indent=2)


def decode_entry(data: bytes) -> WorkerEntry:
    """Return the registry entry in the JSON; raises `MalformedError`. Unknown fields are ignored."""
    try:
        entry = _entry_decoder.decode(data)
        check_worker_id(entry.worker_id)
        return msgspec.structs.replace(
            entry, labels={normalise_label(label): held for label, held in entry.labels.items()}
        )
    except (*_NOT_JSON, BadNameError) as exc:
        raise MalformedError(f"registry entry: {exc}") from exc


def encode_progress(progress: ConvertProgress) -> bytes:
    """Encode a conversion's progress as JSON."""
    return _json_encode(progress)


def decode_progress(data: bytes) -> ConvertProgress:
    """Return a conversion's progress; raises `MalformedError`."""
    try:
        return _progress_decoder.decode(data)
    except _NOT_JSON as exc:
        raise MalformedError(f"ConvertProgress: {exc}") from exc


def encode_records(records: list[LogRecord]) -> bytes:
    """Encode log records as JSON lines: one message may carry several, each on its own line."""
    return b"\n".join(map(_json_encode, records))


def decode_record(line: bytes) -> LogRecord:
    """Return the log record in one JSON line; raises `MalformedError`."""
    try:
        return _record_decoder.decode(line)
    except _NOT_JSON as exc:
        raise MalformedError(f"LogRecord: {exc}") from exc


def _parse(message: M, data: bytes, name: str) -> M:
    try:
        message.ParseFromString(data)
    except DecodeError as exc:
        raise MalformedError(f"{len(data)} bytes that are not a labelbus.v1.{name}") from exc
    return message


def _varint(value: int) -> bytes:
    """Encode a length as protobuf does: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _duration(ms: float) -> float:
    if not 0.0 <= ms < math.inf:
        raise ValueError(f"{ms} is not a duration in milliseconds")
    return ms


def _fill(message: pb.WorkerState, state: WorkerState) -> None:
    message.worker_id = state.worker_id
    message.epoch_ms = state.epoch_ms
    message.revision = state.revision
    if state.labels:
        message.labels.extend(state.labels)
    if state.loading:
        message.loading.extend(state.loading)
    message.running = state.running
    message.slots = state.slots
    message.capacity = state.capacity
    message.window = state.window
    message.pass_tasks = state.pass_tasks
    message.passes = state.passes
    message.draining = state.draining
    if state.outstanding is not None:
        message.outstanding.tokens.extend(state.outstanding)
        message.outstanding.SetInParent()


def _state_from_pb(message: pb.WorkerState) -> WorkerState:
    return WorkerState(
        worker_id=check_worker_id(message.worker_id),
        epoch_ms=message.epoch_ms,
        revision=message.revision,
        labels=_labels(message.labels),
        loading=_labels(message.loading),
        running=message.running,
        slots=message.slots,
        capacity=message.capacity,
        window=message.window,
        pass_tasks=message.pass_tasks or 1,
        passes=message.passes,
        draining=message.draining,
        outstanding=tuple(message.outstanding.tokens) if message.HasField("outstanding") else None,
    )


def _labels(names: Sequence[str]) -> tuple[str, ...]:
    return (
        tuple(map(normalise_label, names[:])) if names else ()
    )  # iterating a list is faster than iterating protobuf's container
