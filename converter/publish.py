"""Entries of the model repository: written aside, put in place whole, cleared away if they never were.

A folder `.tmp-<model>-<token>` under the root is an entry being written; `.old-<model>-<token>` is one that is being
replaced on a file system that cannot exchange two folders. Both are locked by the process they belong to, so what
a killed process left is told from what a living one is doing.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from bus.errors import ConflictError, LabelbusError, UnavailableError
from bus.names import model_name

_TMP: Final = ".tmp-"
_OLD: Final = ".old-"
_TOKEN_CHARS: Final = 9  # a hyphen and eight hexadecimal digits
_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2


class Staging:
    """One entry being written; `folder` is where. A context manager: what is not published is gone at its end."""

    def __init__(self, root: Path, label: str) -> None:
        self._root = root
        self._target = root / model_name(label)
        self._label = label
        self.folder = root / f"{_TMP}{model_name(label)}-{secrets.token_hex(4)}"

    def __enter__(self) -> Self:
        with repository_errors(self._root):
            self.folder.mkdir()
            self._lock = _lock(self.folder)
        return self

    def __exit__(self, *_exc: object) -> None:
        _remove(self.folder)
        if self._lock is not None:
            os.close(self._lock)

    def sync(self) -> None:
        """Make every file readable by other users (Triton runs as one) and safe on disk. Blocks for the disk."""
        with repository_errors(self._root):
            for parent, _, files in os.walk(self.folder, topdown=False):
                for name in files:
                    path = Path(parent) / name
                    path.chmod(0o644)
                    _fsync(path)
                Path(parent).chmod(0o755)
                _fsync(Path(parent))

    def publish(self, *, overwrite: bool, exchange: bool = True) -> None:
        """Put the synced entry in place; `ConflictError` if there is one and `overwrite` is false.

        Where the file system exchanges folders (Linux: ext4, xfs, btrfs, tmpfs) a reader always finds an entry, the
        old or the new one. Elsewhere, or with `exchange` false, there is none for an instant; should the process
        die in it, `recover` puts the old one back.
        """
        with repository_errors(self._root), _locked_root(self._root):
            if os.path.lexists(self._target):
                if not overwrite:
                    raise already_there(self._label)
                self._replace(exchange=exchange)
            else:
                self.folder.rename(self._target)
            _fsync(self._root)

    def _replace(self, *, exchange: bool) -> None:
        if exchange and _exchange(self.folder, self._target):
            return  # `folder` is the old entry now, and goes when this ends
        old = self._root / (_OLD + self.folder.name.removeprefix(_TMP))
        self._target.rename(old)
        self.folder.rename(self._target)
        _remove(old)


def already_there(label: str) -> ConflictError:
    """The error for a model that exists and is not to be replaced."""
    return ConflictError(
        f"{label} is in the model repository already: set overwrite (`--overwrite`) to convert it again"
    )


def has_entry(root: Path, label: str) -> bool:
    """Whether the repository has an entry of this label, whoever made it."""
    return os.path.lexists(root / model_name(label))


def prepare_repository(root: Path) -> None:
    """Make the root if need be, and see that it can be written; `UnavailableError` if not."""
    with repository_errors(root):
        if root.exists() and not root.is_dir():
            raise UnavailableError(f"the model repository {root} is not a folder")
        root.mkdir(parents=True, exist_ok=True)
        if not os.access(root, os.W_OK | os.X_OK):
            raise UnavailableError(f"the model repository {root} cannot be written by this user: change its owner")


def recover(root: Path) -> list[str]:
    """Clear away what killed processes left, put back an entry that was being replaced; the names it dealt with.

    Where the file system knows no locks nothing is touched: it might belong to a living process.
    """
    done: list[str] = []
    with repository_errors(root), _locked_root(root):
        for path in sorted(root.glob(f"{_OLD}*")):
            target = root / path.name.removeprefix(_OLD)[:-_TOKEN_CHARS]
            if os.path.lexists(target):
                _remove(path)
            else:
                path.rename(target)
            done.append(path.name)
        for path in sorted(root.glob(f"{_TMP}*")):
            lock = _lock(path)
            if lock is not None:
                _remove(path)
                os.close(lock)
                done.append(path.name)
    return done


@contextlib.contextmanager
def repository_errors(root: Path) -> Iterator[None]:
    """Turns what the file system says into a `LabelbusError` that names the repository."""
    try:
        yield
    except OSError as exc:
        raise repository_error(exc, root) from exc


def repository_error(exc: OSError, root: Path) -> LabelbusError:
    """What a file error means for the asker."""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return UnavailableError(f"the model repository {root} is full ({exc.strerror}): make room and try again")
    if exc.errno in (errno.EEXIST, errno.ENOTEMPTY):
        return ConflictError(f"the entry in {root} was made by someone else in the meantime: look, and try again")
    return UnavailableError(f"the model repository {root} cannot be written: {exc}")


@contextlib.contextmanager
def _locked_root(root: Path) -> Iterator[None]:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: the renames alone must do
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lock(folder: Path) -> int | None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _exchange(first: Path, second: Path) -> bool:
    if sys.platform != "linux":
        return False
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    done = renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), ctypes.c_uint(_RENAME_EXCHANGE))
    return int(done) == 0


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_symlink() or path.is_file():
            path.unlink()
        else:
            shutil.rmtree(path)
