"""The model repository on disk, which the converter writes, and workers and Triton read.

    <root>/<model name>/config.pbtxt       backend "onnxruntime", dynamic batching
    <root>/<model name>/1/model.onnx       input_ids, attention_mask -> sentence_embedding [batch, dim]
    <root>/<model name>/tokenizer.json     for the worker, which tokenises (Triton ignores both files)
    <root>/<model name>/labelbus.json      ModelInfo

An entry is written beside the others under a name that begins with a dot, and renamed into place when it is whole.
"""

from pathlib import Path

import msgspec

from bus.errors import LoadError, UnknownModelError
from bus.names import model_name


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The properties of a converted model that a worker needs. `created` is RFC 3339 in UTC."""

    model_id: str
    model_name: str
    dim: int
    max_seq_length: int
    max_batch_size: int
    labelbus_version: str
    created: str
    cosine: float
    """The least cosine between this graph's embeddings and those of sentence-transformers, when it was checked."""


class ModelEntry(msgspec.Struct, frozen=True):
    """The files of one label under the repository's root; none of them need exist."""

    root: Path
    label: str

    @property
    def folder(self) -> Path:
        """The folder of the whole entry."""
        return self.root / model_name(self.label)

    @property
    def config(self) -> Path:
        """Triton's configuration of the model."""
        return self.folder / "config.pbtxt"

    @property
    def graph(self) -> Path:
        """The ONNX graph, version 1."""
        return self.folder / "1" / "model.onnx"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer, in the format of the `tokenizers` library."""
        return self.folder / "tokenizer.json"

    @property
    def info_file(self) -> Path:
        """The `ModelInfo`."""
        return self.folder / "labelbus.json"

    def check(self) -> None:
        """Raise `UnknownModelError` if there is no entry."""
        if not self.config.exists():
            raise UnknownModelError(
                f"no model {self.label} in the model repository; POST /upload-model or `labelbus convert` puts it there"
            )

    def read_info(self) -> ModelInfo:
        """Return the entry's `ModelInfo`; `UnknownModelError` without an entry, `LoadError` if it cannot be read."""
        try:
            return msgspec.json.decode(self.info_file.read_bytes(), type=ModelInfo)
        except FileNotFoundError as exc:
            self.check()
            raise LoadError(f"{self.info_file} is missing: convert {self.label} again") from exc
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise LoadError(f"{self.info_file} cannot be read ({exc}): convert {self.label} again") from exc
