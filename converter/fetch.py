"""The child process that finds a model on the hub, in the cache of earlier downloads, or in an installed package.

Run as `python -m converter.fetch`. A process apart from the export, because a call to a hub that hangs ends only with
its process, and because the export runs without any access to the network.
"""

import os
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import huggingface_hub
import requests
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from tqdm import tqdm  # type: ignore[import-untyped]

from bus.errors import BadNameError, InvalidInputError, UnavailableError, UnknownModelError
from converter.child import Report, run_child
from converter.events import Fetched, FetchJob, Step
from converter.source import PACKAGED, packaged_copy

START_FRACTION: Final = 0.02
END_FRACTION: Final = 0.3

_WANTED: Final = (".json", ".txt", ".model", ".safetensors")
_UNWANTED_FOLDERS: Final = ("onnx/", "openvino/", "coreml/", "tensorrt/")


class _UnreachableError(Exception):
    """The hub did not answer, or must not be asked."""


def fetch(job: FetchJob, report: Report) -> Fetched:
    """Find the model on the hub if that answers within `hub_timeout_s`, otherwise on disk.

    Raises `UnknownModelError` if the hub does not have it, `InvalidInputError` if the hub does not give it away,
    `UnavailableError` if there is neither a hub nor a copy.
    """
    report(Step(stage="resolve", fraction=START_FRACTION, message=f"asking the hub for {job.hub_id}"))
    try:
        found = _within(job.hub_timeout_s, lambda: _ask(job))
        report(Step(stage="download", fraction=START_FRACTION, message=f"downloading {job.hub_id}"))
        folder = _download(job.hub_id, found, report)
        return Fetched(folder=folder, source=f"the hub, revision {Path(folder).name[:12]}")
    except _UnreachableError as exc:
        reason = str(exc)
    return _from_disk(job.hub_id, reason)


def wanted_files(names: Sequence[str]) -> list[str]:
    """Choose the files that a conversion needs: one format of the weights, the configuration, the tokenizer."""
    inside = [name for name in names if not name.startswith(_UNWANTED_FOLDERS)]
    wanted = [name for name in inside if name.endswith(_WANTED)]
    folders_with_weights = {os.path.dirname(name) for name in wanted if name.endswith(".safetensors")}  # noqa: PTH120  # not a path here
    pickled = [name for name in inside if name.endswith("pytorch_model.bin") or "/pytorch_model-" in f"/{name}"]
    return wanted + [name for name in pickled if os.path.dirname(name) not in folders_with_weights]  # noqa: PTH120


def _ask(job: FetchJob) -> Any:
    try:
        return huggingface_hub.HfApi().model_info(job.hub_id, timeout=job.hub_timeout_s)
    except GatedRepoError as exc:
        raise InvalidInputError(
            f"the hub gives {job.hub_id} only to users who accepted its terms: accept them on the hub and set HF_TOKEN"
        ) from exc
    except RepositoryNotFoundError as exc:
        raise UnknownModelError(
            f"the hub has no model {job.hub_id}, or it is private: check the name, or set HF_TOKEN"
        ) from exc
    except HFValidationError as exc:
        raise BadNameError(str(exc)) from exc
    except (OfflineModeIsEnabled, HfHubHTTPError, requests.RequestException) as exc:
        raise _UnreachableError(_reason(exc)) from exc


def _download(hub_id: str, info: Any, report: Report) -> str:
    lock = threading.Lock()  # counts were seen to come out of order, one download in ten
    told = 0

    class Progress(tqdm):  # type: ignore[misc]  # no stubs
        """A count of downloaded files that is reported after each file."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": False, "file": _Nowhere()})

        def update(self, n: float | None = 1) -> None:
            nonlocal told
            with lock:
                super().update(n)
                if self.n <= told:
                    return
                told = self.n
                done = self.n / max(1, self.total or 1)
                report(
                    Step(
                        stage="download",
                        fraction=START_FRACTION + (END_FRACTION - START_FRACTION) * min(1.0, done),
                        message=f"{self.n} of {self.total} files of {hub_id}",
                    )
                )

    files = wanted_files([file.rfilename for file in info.siblings or []])
    if "modules.json" not in files:
        raise InvalidInputError(
            f"{hub_id} is not a SentenceTransformer: it has no modules.json. A bare transformer does not name its "
            "pooling; choose a model that the hub lists under sentence-transformers"
        )
    try:
        # No revision: the download then leaves a note of what `main` is, by which it is found when the hub is away.
        folder = str(huggingface_hub.snapshot_download(hub_id, allow_patterns=files, tqdm_class=Progress))
    except LocalEntryNotFoundError as exc:
        raise _UnreachableError("it became unreachable during the download") from exc
    except (HfHubHTTPError, requests.RequestException) as exc:
        raise _UnreachableError(f"the download failed, {_reason(exc)}") from exc
    # the count of the last file was seen to be missing
    report(Step(stage="download", fraction=END_FRACTION, message=f"{len(files)} of {len(files)} files of {hub_id}"))
    return folder


def _from_disk(hub_id: str, reason: str) -> Fetched:
    try:
        cached = huggingface_hub.snapshot_download(hub_id, local_files_only=True)
    except LocalEntryNotFoundError:
        cached = ""
    if cached and (Path(cached) / "modules.json").is_file():
        return Fetched(folder=cached, source=f"the cache of earlier downloads (hub unreachable: {reason})")
    if copy := packaged_copy(hub_id):
        package = PACKAGED[hub_id].replace("_", "-")
        return Fetched(folder=str(copy), source=f"the copy in the package {package} (hub unreachable: {reason})")
    raise UnavailableError(
        f"the hub is unreachable ({reason}) and this machine has no copy of {hub_id}: try again when the network is "
        "back, or convert a local folder"
    )


def _within(timeout_s: float, call: Callable[[], Any]) -> Any:
    # The timeouts of requests do not cover a name server that hangs; then the thread is left to end with the process.
    answers: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((call(), None))
        except Exception as exc:  # noqa: BLE001  # raised again in the thread that waits
            answers.put((None, exc))

    threading.Thread(target=run, name="hub", daemon=True).start()
    try:
        answer, error = answers.get(timeout=timeout_s)
    except queue.Empty:
        raise _UnreachableError(f"no answer within {timeout_s:g} s") from None
    if error is not None:
        raise error
    return answer


def _reason(exc: BaseException) -> str:
    if isinstance(exc, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    if isinstance(exc, requests.ConnectionError):
        return "it refuses connections"
    if isinstance(exc, requests.Timeout):
        return "it did not answer in time"
    response = getattr(exc, "response", None)
    return f"it answered {response.status_code}" if response is not None else type(exc).__name__


class _Nowhere:
    """A file for the hidden progress bar, which discards its text."""

    def write(self, _text: str) -> int:
        return 0

    def flush(self) -> None:
        pass


if __name__ == "__main__":
    run_child(FetchJob, fetch)
