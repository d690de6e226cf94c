"""One conversion, from its request to the published entry, for both the service and the command."""

import asyncio
import importlib.metadata
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bus.errors import BadParametersError
from bus.messages import ConvertRequest
from bus.model_repository import ModelInfo
from bus.names import model_name
from converter.events import Exported, ExportJob, Fetched, FetchJob, Step
from converter.process import OFFLINE, run_job
from converter.publish import Staging, already_there, has_entry, prepare_repository, repository_errors
from converter.settings import DEFAULT_MAX_BATCH_SIZE, MAX_BATCH_SIZE, ConversionLimits
from converter.source import FolderModel, HubModel, check_sentence_transformer, check_space
from converter.triton_config import config_text

OnStep = Callable[[Step], None]


class Converted(msgspec.Struct, frozen=True, kw_only=True):
    """A published entry, its source, and the time and memory that the conversion took."""

    info: ModelInfo
    source: str
    seconds: float
    peak_memory_bytes: int

    @property
    def sentence(self) -> str:
        """The outcome in one sentence."""
        return (
            f"{self.info.model_id} is in the model repository as {self.info.model_name}: {self.info.dim} dimensions, "
            f"converted from {self.source} in {self.seconds:.1f} s, least cosine to sentence-transformers "
            f"{self.info.cosine:.7f}"
        )


def check_batch_size(request: ConvertRequest) -> int:
    """Return the requested batch size, for 0 the default; raise `BadParametersError` if it is out of range."""
    size = request.max_batch_size or DEFAULT_MAX_BATCH_SIZE
    if not 1 <= size <= MAX_BATCH_SIZE:
        raise BadParametersError(f"max_batch_size must be 1 to {MAX_BATCH_SIZE}, not {size}")
    return size


async def convert(
    request: ConvertRequest, source: HubModel | FolderModel, root: Path, limits: ConversionLimits, on_step: OnStep
) -> Converted:
    """Convert the model and publish it under `root`; an error or a cancellation leaves nothing there.

    Raises the errors of `converter.events`, `ConflictError` if there is an entry and the request does not overwrite,
    `DeadlineError` after `conversion_timeout_s`.
    """
    started = time.monotonic()
    max_batch_size = check_batch_size(request)
    name = model_name(source.label)
    on_step(Step(stage="resolve", fraction=0.0, message=f"looking for {request.model_id}"))
    await asyncio.to_thread(prepare_repository, root)
    if not request.overwrite and has_entry(root, source.label):
        raise already_there(source.label)

    with Staging(root, source.label) as staging:
        found = await _find(source, limits, on_step)
        folder = Path(found.folder)
        on_step(Step(stage="export", fraction=0.3, message=f"using {found.source}"))
        check_sentence_transformer(folder)
        check_space(folder, root, free_bytes=shutil.disk_usage(root).free)
        exported = await run_job(
            ExportJob(folder=str(folder), target=str(staging.folder)),
            Exported,
            on_step=on_step,
            timeout_s=_rest(started, limits),
            environment=OFFLINE,
            memory_limit_mb=limits.memory_limit_mb,
        )
        on_step(Step(stage="publish", fraction=0.95, message=f"least cosine {exported.cosine:.7f}"))
        info = ModelInfo(
            model_id=request.model_id,
            model_name=name,
            dim=exported.dim,
            max_seq_length=exported.max_seq_length,
            max_batch_size=max_batch_size,
            labelbus_version=importlib.metadata.version("labelbus"),
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            cosine=exported.cosine,
        )
        config = config_text(
            label=source.label,
            model_name=name,
            dim=exported.dim,
            max_batch_size=max_batch_size,
            max_queue_delay_us=limits.max_queue_delay_us,
        )
        with repository_errors(root):
            (staging.folder / "config.pbtxt").write_text(config)
            (staging.folder / "labelbus.json").write_bytes(msgspec.json.format(msgspec.json.encode(info)) + b"\n")
        # The slow part can be cancelled; the renames that follow cannot, so that an entry is either whole or absent.
        await asyncio.to_thread(staging.sync)
        staging.publish(overwrite=request.overwrite)
    return Converted(
        info=info,
        source=found.source,
        seconds=time.monotonic() - started,
        peak_memory_bytes=exported.peak_memory_bytes,
    )


async def _find(source: HubModel | FolderModel, limits: ConversionLimits, on_step: OnStep) -> Fetched:
    if isinstance(source, FolderModel):
        return Fetched(folder=str(source.folder), source=f"the folder {source.folder}")
    return await run_job(
        FetchJob(hub_id=source.hub_id, hub_timeout_s=limits.hub_timeout_s),
        Fetched,
        on_step=on_step,
        timeout_s=limits.conversion_timeout_s,
    )


def _rest(started: float, limits: ConversionLimits) -> float:
    return max(0.0, started + limits.conversion_timeout_s - time.monotonic())
