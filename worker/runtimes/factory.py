"""The choice of a runtime by a worker's settings."""

from loguru import logger

from bus.errors import RuntimeUnavailableError
from worker.local_triton.command import LocalTritonOptions
from worker.local_triton.files import LocalTritonFiles, find_local_triton
from worker.runtimes.local_triton import LocalTritonRuntime
from worker.runtimes.onnx import OnnxRuntime
from worker.runtimes.protocol import Runtime
from worker.runtimes.settings import RuntimeSettings
from worker.runtimes.simulated import SimulatedRuntime
from worker.runtimes.triton import TritonRuntime


def make_runtime(settings: RuntimeSettings) -> Runtime:
    """Return the runtime that the settings name, not yet started; `auto` logs why it falls back to ONNX Runtime.

    Raises `RuntimeUnavailableError` if this machine cannot run it.
    """
    match settings.runtime:
        case "simulated":
            return SimulatedRuntime(
                settings.simulated_load_ms,
                sigma=settings.simulated_load_sigma,
                seed=settings.simulated_seed,
                run_ms=settings.simulated_run_ms,
                item_ms=settings.simulated_item_ms,
            )
        case "onnx":
            return _onnx(settings)
        case _ if settings.triton_url:
            return _triton(settings)
    found = find_local_triton()
    if isinstance(found, LocalTritonFiles):
        return _local_triton(settings, found)
    if settings.runtime == "triton":
        raise RuntimeUnavailableError(
            f"no Triton to start: {found.reason}. Give --triton-url for one that runs, or use --runtime onnx"
        )
    logger.bind(reason=found.reason).warning("no local triton, using onnx")
    return _onnx(settings)


def _onnx(settings: RuntimeSettings) -> Runtime:
    return OnnxRuntime(settings.model_repository, threads=settings.threads)


def _triton(settings: RuntimeSettings) -> Runtime:
    return TritonRuntime(
        settings.triton_url,
        repository=settings.model_repository,
        start_timeout_s=settings.start_timeout_s,
        load_timeout_s=settings.load_timeout_s,
        unload_others=settings.triton_unload_others,
    )


def _local_triton(settings: RuntimeSettings, files: LocalTritonFiles) -> Runtime:
    options = LocalTritonOptions(
        model_repository=settings.model_repository,
        threads=settings.threads,
        log_file=settings.triton_log,
        grace_s=settings.triton_grace_s,
    )
    return LocalTritonRuntime(
        files, options, start_timeout_s=settings.start_timeout_s, load_timeout_s=settings.load_timeout_s
    )
