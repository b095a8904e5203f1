"""A file that takes room, and gives it back when asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aitp_playground.sqlite.reserve import Reserve

SIZE = 1 << 20


@pytest.fixture
def reserve(tmp_path: Path) -> Reserve:
    return Reserve(tmp_path / "runs.db-reserve", SIZE)


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o277], ids=oct)
def test_it_takes_the_room_it_says_and_is_private(reserve: Reserve, umask: int) -> None:
    before = os.umask(umask)
    try:
        assert reserve.keep(SIZE)
    finally:
        os.umask(before)
    found = reserve.path.stat()
    assert found.st_size == SIZE
    assert found.st_blocks * 512 >= SIZE, "a file with holes takes no room"
    assert found.st_mode & 0o777 == 0o600


def test_it_is_taken_once_by_however_many(reserve: Reserve) -> None:
    assert reserve.keep(SIZE)
    taken = reserve.path.stat()
    assert Reserve(reserve.path, SIZE).keep(SIZE)
    assert os.path.samestat(taken, reserve.path.stat())


def test_spent_it_is_gone_and_can_be_taken_again(reserve: Reserve) -> None:
    reserve.keep(SIZE)
    reserve.spend()
    assert not reserve.path.exists()
    reserve.spend()
    assert reserve.keep(SIZE)


def test_of_no_bytes_nothing_is_left(reserve: Reserve) -> None:
    reserve.keep(SIZE)
    assert Reserve(reserve.path, 0).keep(SIZE)
    assert not reserve.path.exists()


def test_a_disk_that_it_would_fill_is_left_alone(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    large = Reserve(tmp_path / "reserve", found.f_bavail * found.f_frsize // 2 + (1 << 30))
    assert not large.keep(large.size)
    assert not large.path.exists()


def test_what_cannot_be_taken_whole_is_not_taken(reserve: Reserve, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, offset: int, size: int) -> None:
        os.write(descriptor, b"some of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert not reserve.keep(SIZE)
    assert not reserve.path.exists()


def test_a_directory_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    assert not Reserve(tmp_path / "missing" / "reserve", SIZE).keep(SIZE)
