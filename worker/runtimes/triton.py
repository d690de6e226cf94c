"""Labels as models of a Triton Inference Server, over gRPC, with explicit model control."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
from loguru import logger
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from bus.errors import BadParametersError, LoadError, RuntimeUnavailableError, TooLargeError, UnknownModelError
from bus.model_repository import ModelEntry
from bus.names import model_name
from worker.runtimes.model_config import RowLimits
from worker.runtimes.protocol import LabelsLost, Tensors
from worker.runtimes.triton_errors import load_error, loses_label, run_error

MAX_MESSAGE_BYTES: Final = 64 << 20
"""Limit of one request and of one answer. 64 texts of 8,192 tokens are 8 MiB, 4,096 embeddings of 1,024 are 16 MiB;
NATS lets much less through by default, so this only keeps a strange model from filling the worker's memory."""

_CONTROL_TIMEOUT_S: Final = 10.0
"""Timeout of calls that Triton answers at once."""

_CHANNEL_OPTIONS: Final = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # gRPC waits 1 s, 1.6 s, … between attempts, for remote servers; this one is near and back in 0.3 s.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    # An idle connection is kept: its loss tells that the server has ended.
    ("grpc.client_idle_timeout_ms", 2**31 - 1),
)


class TritonRuntime:
    """A Triton at `target` (`host:port` or `unix:path`), which no other worker may use.

    With `repository`, a model that Triton cannot read is distinguished from one that does not exist. With
    `unload_others`, models found loaded at the start are unloaded: a worker that restarts beside its Triton then
    begins with the memory it counts on. A load waits `reconnect_wait_s` for a server that is away. Start and stop
    must run in the same event loop.
    """

    name: str = "triton"

    def __init__(
        self,
        target: str,
        *,
        repository: Path | None = None,
        start_timeout_s: float = 60.0,
        load_timeout_s: float = 120.0,
        reconnect_wait_s: float = 0.0,
        unload_others: bool = False,
    ) -> None:
        self._target = target
        self._repository = repository
        self._row_limits = RowLimits(repository)
        self._start_timeout_s = start_timeout_s
        self._load_timeout_s = load_timeout_s
        self._reconnect_wait_s = reconnect_wait_s
        self._unload_others = unload_others
        self._on_lost: LabelsLost = lambda _: None
        # Label → number of its load: an error of a run begun before a reload does not concern the label loaded since.
        self._held: dict[str, int] = {}
        self._loads = itertools.count()
        # Models that Triton may still hold, alive or dead, although this runtime no longer counts them.
        self._stale: set[str] = set()
        self._clearing = asyncio.Lock()
        self._client: Any = None
        self._channel: grpc.aio.Channel | None = None
        self._watch: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()

    def on_labels_lost(self, callback: LabelsLost) -> None:
        """See `Runtime`. Called when the server ends, is found to have dropped a model, or a stub process dies."""
        self._on_lost = callback

    async def start(self) -> None:
        """Connect, and wait until the server answers."""
        self._channel = grpc.aio.insecure_channel(self._target, options=_CHANNEL_OPTIONS)
        self._client = InferenceServerClient(self._target, channel_args=_CHANNEL_OPTIONS)
        self._watch = asyncio.create_task(self._watch_connection(self._channel), name="triton connection")
        try:
            await self.ready()
            if self._unload_others:
                await self._find_others()
                await self._clear_stale()
        except BaseException:
            await self.stop()
            raise

    async def ready(self) -> None:
        """Wait for a connection; `RuntimeUnavailableError` if there is none within `start_timeout_s`."""
        await self._wait_for_connection(self._start_timeout_s)

    async def stop(self) -> None:
        """Close the connection. Loaded models stay loaded: the server belongs to somebody else."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
        if self._client is not None:
            await self._client.close()
            self._client = None
        if self._channel is not None:
            await self._channel.close()
            self._channel = None
        self._connected.clear()
        self._held.clear()

    async def check(self, label: str) -> None:
        """See `Runtime`. Passes where only Triton sees the repository: there only a load can tell."""
        if self._repository is not None and self._repository.is_dir():
            ModelEntry(self._repository, label).check()

    async def load(self, label: str) -> None:
        """See `Runtime`. A model whose process had died is unloaded first: Triton still counts it as loaded."""
        client = self._open_client()
        model = model_name(label)
        await self._wait_for_connection(self._reconnect_wait_s)
        await self._clear_stale()
        try:
            await client.load_model(model, client_timeout=self._load_timeout_s)
        except InferenceServerException as exc:
            self._stale.add(model)  # Triton may still finish the load
            error = load_error(label, exc)
            if isinstance(error, UnknownModelError) and self._entry_exists(label):
                raise LoadError(f"Triton cannot read the entry of {label}: is its config.pbtxt well formed?") from exc
            raise error from exc
        except asyncio.CancelledError:
            self._stale.add(model)
            raise
        self._row_limits.forget(label)
        self._held[label] = next(self._loads)

    async def unload(self, label: str) -> None:
        """See `Runtime`."""
        self._held.pop(label, None)
        self._row_limits.forget(label)
        self._stale.add(model_name(label))
        with contextlib.suppress(RuntimeUnavailableError):  # it stays stale: the next load unloads it
            await self._clear_stale()

    async def run(self, label: str, inputs: Tensors, *, timeout_s: float | None = None) -> Tensors:
        """See `Runtime`. After a `DeadlineError` the server still works on the batch for a while."""
        client = self._open_client()
        loaded = self._held.get(label)
        try:
            result = await client.infer(model_name(label), _infer_inputs(inputs), client_timeout=timeout_s)
        except InferenceServerException as exc:
            if loses_label(exc) and self._held.get(label) == loaded:
                self._lose(frozenset({label}))
            raise run_error(label, exc) from exc
        return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}

    async def max_rows(self, label: str) -> int:
        """See `Runtime`. A Triton with a model repository of its own tells none."""
        return await self._row_limits.max_rows(label)

    def lose_all(self) -> None:
        """Count no label as loaded any more: the server has ended."""
        self._connected.clear()
        self._lose(frozenset(self._held))

    def _lose(self, labels: frozenset[str]) -> None:
        lost = labels & self._held.keys()
        if not lost:
            return
        for label in lost:
            del self._held[label]
        self._stale.update(map(model_name, lost))
        logger.bind(labels=sorted(lost)).warning("triton lost labels")
        self._on_lost(lost)

    async def _find_others(self) -> None:
        try:
            index = await self._open_client().get_model_repository_index(client_timeout=_CONTROL_TIMEOUT_S)
        except InferenceServerException as exc:
            raise RuntimeUnavailableError(f"Triton at {self._target} did not list its models: {exc}") from exc
        self._stale = {model.name for model in index.models if model.state == "READY"}

    async def _clear_stale(self) -> None:
        """Unload models that Triton may hold uncounted; under a lock, so that no load comes in between."""
        async with self._clearing:
            client = self._open_client()
            while self._stale:
                model = next(iter(self._stale))
                try:
                    await client.unload_model(model, client_timeout=_CONTROL_TIMEOUT_S)
                except InferenceServerException as exc:
                    raise load_error(model, exc) from exc
                self._stale.discard(model)

    async def _watch_connection(self, channel: grpc.aio.Channel) -> None:
        """Follow the connection: it ends within 10 ms of the server, long before the next request fails."""
        async for state in _states(channel):
            logger.bind(target=self._target, state=state.name).debug("triton connection")
            if state is grpc.ChannelConnectivity.READY:
                self._connected.set()
            else:
                self.lose_all()

    async def _wait_for_connection(self, wait_s: float) -> None:
        if self._connected.is_set():
            return
        try:
            async with asyncio.timeout(wait_s):
                await self._connected.wait()
        except TimeoutError as exc:
            within = f" within {wait_s:g} s" if wait_s else ""
            raise RuntimeUnavailableError(f"no Triton answers at {self._target}{within}") from exc

    def _open_client(self) -> Any:
        if self._client is None:
            raise RuntimeUnavailableError("the connection to Triton is not open: start the runtime first")
        return self._client

    def _entry_exists(self, label: str) -> bool:
        return self._repository is not None and ModelEntry(self._repository, label).config.exists()


async def _states(channel: grpc.aio.Channel) -> AsyncIterator[grpc.ChannelConnectivity]:
    while True:
        state = channel.get_state(try_to_connect=True)
        yield state
        await channel.wait_for_state_change(state)


def _infer_inputs(inputs: Tensors) -> list[InferInput]:
    """Convert the tensors for Triton's client; raises `BadParametersError` and `TooLargeError`."""
    sent = []
    total = 0
    for name, array in inputs.items():
        dtype = np_to_triton_dtype(array.dtype)
        if dtype is None:
            raise BadParametersError(f"input {name} is of type {array.dtype}, which Triton does not know")
        tensor = InferInput(name, array.shape, dtype)
        try:
            tensor.set_data_from_numpy(array)
        except (InferenceServerException, ValueError, TypeError) as exc:
            raise BadParametersError(f"input {name} cannot be sent: {exc}") from exc
        total += array.nbytes if array.dtype != np.object_ else sum(len(text) for text in array.ravel().tolist())
        sent.append(tensor)
    if total > MAX_MESSAGE_BYTES // 2:
        raise TooLargeError(
            f"the inputs have {total:,} bytes; at most {MAX_MESSAGE_BYTES // 2:,} are sent to Triton at once"
        )
    return sent
