"""Many labels of one model: copies of a repository entry under other names, which share the graph's file on disk."""

import os
import re
import shutil
from pathlib import Path

import msgspec

from bus.errors import LoadError
from bus.model_repository import ModelEntry
from bus.names import model_name


def copy_entry(repository: Path, label: str, new_label: str) -> ModelEntry:
    """Publish a copy of the entry of `label` as `new_label`, unless there is one; return the entry of `new_label`.

    Raises `UnknownModelError` if there is no entry of `label`. The graph is a hard link where the file system allows
    it, so a hundred labels of one model take its space once.
    """
    source, target = ModelEntry(repository, label), ModelEntry(repository, new_label)
    info = source.read_info()
    if target.folder.exists():
        return target
    aside = repository / f".copy-{os.getpid()}-{model_name(new_label)}"
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(source.folder, aside, copy_function=_link_or_copy)
    _rewrite(aside / "config.pbtxt", _renamed((aside / "config.pbtxt").read_text(), model_name(new_label)))
    renamed = msgspec.structs.replace(info, model_name=model_name(new_label))
    _rewrite(aside / "labelbus.json", msgspec.json.format(msgspec.json.encode(renamed), indent=2).decode())
    aside.rename(target.folder)
    return target


def _renamed(config: str, name: str) -> str:
    text, count = re.subn(r'^name: ".*"$', f'name: "{name}"', config, count=1, flags=re.MULTILINE)
    if count != 1:
        raise LoadError('config.pbtxt has no line `name: "…"`')
    return text


def _rewrite(path: Path, text: str) -> None:
    path.unlink()  # it may be linked to the original
    path.write_text(text)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
