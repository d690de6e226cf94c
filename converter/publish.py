"""Entries of the model repository: written aside, published whole, and removed if they were not published.

A folder `.tmp-<model>-<suffix>` under the root is an entry being written; `.old-<model>-<suffix>` is one that is being
replaced on a file system that cannot exchange two folders. The process that a folder belongs to holds a lock on it, so
that leftovers of a killed process can be told from the work of a living one.
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
_SUFFIX_CHARS: Final = 9  # a hyphen and eight hexadecimal digits
_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2


class Staging:
    """One entry being written to `folder`: a context manager that removes what was not published."""

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
        """Make every file readable by other users (Triton runs as one) and write it to disk, which blocks."""
        with repository_errors(self._root):
            for parent, _, files in os.walk(self.folder, topdown=False):
                for name in files:
                    path = Path(parent) / name
                    path.chmod(0o644)
                    _fsync(path)
                Path(parent).chmod(0o755)
                _fsync(Path(parent))

    def publish(self, *, overwrite: bool, exchange: bool = True) -> None:
        """Put the synced entry in place; raise `ConflictError` if there is one and `overwrite` is false.

        Where the file system exchanges folders (Linux: ext4, xfs, btrfs, tmpfs) a reader always finds an entry, the
        old or the new one. Elsewhere, or with `exchange` false, there is none for a moment; if the process dies in
        it, `recover` puts the old entry back.
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
        if exchange:
            with contextlib.suppress(OSError):
                _exchange(self.folder, self._target)
                return  # `folder` is the old entry now, which is removed at the end
        old = self._root / (_OLD + self.folder.name.removeprefix(_TMP))
        self._target.rename(old)
        self.folder.rename(self._target)
        _remove(old)


def already_there(label: str) -> ConflictError:
    """Return the error for an entry that exists and must not be replaced."""
    return ConflictError(f"{label} is already in the model repository: set overwrite (`--overwrite`) to replace it")


def has_entry(root: Path, label: str) -> bool:
    """Return whether the repository has an entry of this label."""
    return os.path.lexists(root / model_name(label))


def prepare_repository(root: Path) -> None:
    """Create the root unless it exists; raise `UnavailableError` if it cannot be written."""
    with repository_errors(root):
        if root.exists() and not root.is_dir():
            raise UnavailableError(f"the model repository {root} is not a folder")
        root.mkdir(parents=True, exist_ok=True)
        if not os.access(root, os.W_OK | os.X_OK):
            raise UnavailableError(f"this user cannot write to the model repository {root}: change its owner")


def recover(root: Path) -> list[str]:
    """Remove leftovers of killed processes, put back an entry that was being replaced, and return their names.

    On a file system without locks nothing is removed, since it might belong to a living process.
    """
    done: list[str] = []
    with repository_errors(root), _locked_root(root):
        for path in sorted(root.glob(f"{_OLD}*")):
            target = root / path.name.removeprefix(_OLD)[:-_SUFFIX_CHARS]
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
    """Translate errors of the file system into a `LabelbusError` that names the repository."""
    try:
        yield
    except OSError as exc:
        raise repository_error(exc, root) from exc


def repository_error(exc: OSError, root: Path) -> LabelbusError:
    """Return the error that a client gets for an error of the file system."""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return UnavailableError(f"the model repository {root} is full ({exc.strerror}): make room and try again")
    if exc.errno in (errno.EEXIST, errno.ENOTEMPTY):
        return ConflictError(f"another process made the entry in {root} in the meantime: check it, and try again")
    return UnavailableError(f"cannot write to the model repository {root}: {exc}")


@contextlib.contextmanager
def _locked_root(root: Path) -> Iterator[None]:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: renames alone keep entries whole
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


def _exchange(first: Path, second: Path) -> None:
    """Exchange two folders in one step; raise `OSError` where the system or the file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), ctypes.c_uint(_RENAME_EXCHANGE)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


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
