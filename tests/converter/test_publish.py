import contextlib
import errno
import fcntl
import os
import stat
import subprocess
import sys
import threading

import pytest

from bus.errors import ConflictError, UnavailableError
from converter.publish import Staging, has_entry, prepare_repository, recover, repository_error
from tests.converter.conftest import listing

WHOLE = ["a--b", "a--b/1", "a--b/1/model.onnx", "a--b/config.pbtxt"]


def write(staging, text):
    (staging.folder / "1").mkdir()
    (staging.folder / "1" / "model.onnx").write_text(text)
    (staging.folder / "config.pbtxt").write_text(text)


def publish(root, text, **options):
    with Staging(root, "a/b") as staging:
        write(staging, text)
        staging.sync()
        staging.publish(**{"overwrite": False, **options})


def test_an_entry_appears_whole_and_readable_by_others(repository):
    before = os.umask(0o077)
    try:
        publish(repository, "new")
    finally:
        os.umask(before)
    assert listing(repository) == WHOLE
    assert has_entry(repository, "a/b")
    modes = {path: stat.S_IMODE((repository / path).stat().st_mode) for path in WHOLE}
    assert modes == {"a--b": 0o755, "a--b/1": 0o755, "a--b/1/model.onnx": 0o644, "a--b/config.pbtxt": 0o644}


def test_what_is_not_published_is_gone(repository):
    with contextlib.suppress(ZeroDivisionError), Staging(repository, "a/b") as staging:
        write(staging, "half")
        assert [name[0] for name in listing(repository)] == ["."] * 4
        raise ZeroDivisionError
    assert listing(repository) == []


def test_an_existing_entry_is_a_conflict_and_stays_as_it_was(repository):
    publish(repository, "old")
    with pytest.raises(ConflictError, match="--overwrite"):
        publish(repository, "new")
    assert listing(repository) == WHOLE
    assert (repository / "a--b" / "config.pbtxt").read_text() == "old"


@pytest.mark.parametrize("exchange", [True, False])
def test_overwriting_replaces_the_entry_and_leaves_nothing_beside_it(repository, exchange):
    publish(repository, "old")
    (repository / "a--b" / "extra").write_text("of the old one")
    publish(repository, "new", overwrite=True, exchange=exchange)
    assert listing(repository) == WHOLE
    assert (repository / "a--b" / "1" / "model.onnx").read_text() == "new"


def test_overwriting_where_there_is_nothing_publishes(repository):
    publish(repository, "new", overwrite=True)
    assert listing(repository) == WHOLE


def test_a_link_in_the_place_of_an_entry_is_replaced_and_its_target_left_alone(repository, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    (repository / "a--b").symlink_to(elsewhere)
    publish(repository, "new", overwrite=True)
    assert listing(repository) == WHOLE
    assert (elsewhere / "precious").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="two folders are exchanged in one step on Linux only")
def test_a_reader_finds_an_entry_at_every_moment_of_a_replacement(repository):
    publish(repository, "0")
    done = threading.Event()
    missed = []

    def read():
        while not done.is_set():
            try:
                folder = os.open(repository / "a--b", os.O_RDONLY)
            except FileNotFoundError:
                missed.append(1)
                continue
            os.close(folder)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(30):
        publish(repository, str(number), overwrite=True)
    done.set()
    reader.join()
    assert not missed
    assert (repository / "a--b" / "config.pbtxt").read_text() == "29"


def test_leftovers_of_a_killed_process_are_cleared_and_those_of_a_living_one_are_not(repository):
    script = (
        "import os, sys, pathlib; from converter.publish import Staging\n"
        "staging = Staging(pathlib.Path(sys.argv[1]), 'dead/one').__enter__()\n"
        "(staging.folder / 'x').write_text('x'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", script, str(repository)], check=False, timeout=60)
    assert len(listing(repository)) == 2
    with Staging(repository, "a/b") as living:
        cleared = recover(repository)
        assert [name.startswith(".tmp-dead--one-") for name in cleared] == [True]
        assert listing(repository) == [living.folder.name]


@pytest.mark.parametrize("replaced", [True, False])
def test_a_replacement_that_was_cut_short_is_finished_or_undone(repository, replaced):
    publish(repository, "old")
    (repository / "a--b").rename(repository / ".old-a--b-01234567")
    if replaced:
        publish(repository, "new")
    assert recover(repository) == [".old-a--b-01234567"]
    assert listing(repository) == WHOLE
    assert (repository / "a--b" / "config.pbtxt").read_text() == ("new" if replaced else "old")


def test_recovery_waits_for_a_replacement_that_another_process_is_in(repository):
    publish(repository, "old")
    root = os.open(repository, os.O_RDONLY)
    fcntl.flock(root, fcntl.LOCK_EX)
    (repository / "a--b").rename(repository / ".old-a--b-01234567")
    recovered: list[str] = []
    recovery = threading.Thread(target=lambda: recovered.extend(recover(repository)))
    recovery.start()
    recovery.join(0.2)
    assert not recovered
    publish_text = (repository / ".old-a--b-01234567" / "config.pbtxt").read_text()
    (repository / ".old-a--b-01234567").rename(repository / "a--b")
    os.close(root)
    recovery.join(30)
    assert (recovered, publish_text) == ([], "old")
    assert listing(repository) == WHOLE


def test_a_full_disk_says_so_and_leaves_nothing(repository, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnavailableError, match="is full"):
        publish(repository, "new")
    assert listing(repository) == []


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, UnavailableError),
        (errno.EDQUOT, UnavailableError),
        (errno.EROFS, UnavailableError),
        (errno.ENOTEMPTY, ConflictError),
    ],
)
def test_file_errors_are_named(tmp_path, number, kind):
    assert type(repository_error(OSError(number, os.strerror(number)), tmp_path)) is kind


def test_a_repository_is_made_and_one_that_cannot_be_is_unavailable(tmp_path):
    prepare_repository(tmp_path / "deep" / "down")
    assert (tmp_path / "deep" / "down").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError):
        prepare_repository(tmp_path / "file")
