"""Private files: whole or not at all, the first one wins, and what is wrong is told and left alone."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from aitp_playground import private_files
from aitp_playground.private_files import NotPrivate, create, read


def test_a_file_is_private_whatever_the_umask_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        create(tmp_path / "key", b"secret")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert read(tmp_path / "key", 100) == b"secret"
    assert os.listdir(tmp_path) == ["key"]  # noqa: PTH208 - names


def test_of_many_that_make_it_at_once_all_get_what_the_first_wrote(tmp_path: Path) -> None:
    ready, got = threading.Barrier(8), []

    def make(number: int) -> None:
        ready.wait()
        create(tmp_path / "key", b"%d" % number * 1000)
        got.append(read(tmp_path / "key", 10_000))

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(got)) == 1
    assert len(got[0]) == 1000


def test_what_breaks_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(private_files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        create(tmp_path / "key", b"secret")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.mkdir(), "not a regular file"),
        (lambda path: os.mkfifo(path, 0o600), "not a regular file"),
        (lambda path: path.symlink_to("/dev/null"), "a link"),
        (lambda path: (path.touch(), path.chmod(0o640)), "mode 640"),
    ],
    ids=["directory", "pipe", "link", "open"],
)
def test_what_cannot_be_trusted_is_told_and_left_alone(
    tmp_path: Path, make: Callable[[Path], object], why: str
) -> None:
    path = tmp_path / "key"
    make(path)
    before = path.lstat()
    with pytest.raises(NotPrivate) as refused:
        read(path, 100)
    assert why in str(refused.value.strerror)
    assert (path.lstat().st_mode, path.lstat().st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


def test_a_file_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create(tmp_path / "key", b"secret")
    monkeypatch.setattr(private_files.os, "geteuid", lambda: 12345)
    with pytest.raises(NotPrivate, match="not owned"):
        read(tmp_path / "key", 100)


def test_what_is_not_there_is_no_fault_of_trust(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "key", 100)
