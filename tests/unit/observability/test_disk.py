"""A disk is looked at by a thread that may hang: nobody waits for it."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from aitp_playground.observability import disk
from aitp_playground.observability.disk import STALE, DiskWatch

PATIENCE = 300.0


class Looks:
    """Each look waits until the test gives its answer."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self._answer = threading.Semaphore(0)
        self.given: os.statvfs_result | OSError | None = None

    def __call__(self, path: Path) -> os.statvfs_result:
        self.asked.release()
        self._answer.acquire()
        if isinstance(self.given, OSError):
            raise self.given
        assert self.given is not None
        return self.given

    def give(self, answer: os.statvfs_result | OSError) -> None:
        """Returns when it was taken and the next look has begun."""
        self.given = answer
        self._answer.release()
        assert self.asked.acquire(timeout=PATIENCE)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Looks]:
    monkeypatch.setattr(disk, "EVERY", 0)
    made = Looks()
    yield made
    made.given = OSError()
    made._answer.release()


def statvfs(*, free: int, available: int, size: int) -> os.statvfs_result:
    return os.statvfs_result((4096, 1024, size, free, available, 0, 0, 0, 0, 255))


async def test_what_is_left_for_the_service_is_told_in_bytes(looks: Looks, tmp_path: Path) -> None:
    watch = DiskWatch(tmp_path, look=looks)
    assert math.isnan(watch.free())
    watch.start()
    assert looks.asked.acquire(timeout=PATIENCE)
    for left in (70, 60):
        looks.give(statvfs(free=90, available=left, size=1000))
        assert (watch.free(), watch.size()) == (left * 1024, 1000 * 1024)


async def test_of_a_disk_that_is_gone_nothing_is_known(looks: Looks, tmp_path: Path) -> None:
    watch = DiskWatch(tmp_path, look=looks)
    watch.start()
    assert looks.asked.acquire(timeout=PATIENCE)
    looks.give(statvfs(free=1, available=1, size=1))
    looks.give(OSError("stale file handle"))
    assert math.isnan(watch.free())
    assert math.isnan(watch.size())
    looks.give(statvfs(free=1, available=1, size=1))
    assert watch.free() == 1024


async def test_a_disk_that_does_not_answer_holds_nobody_and_its_last_answer_ages(
    looks: Looks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "_CLOSE_SECS", 0.0)
    now = [0.0]
    clock: Callable[[], float] = lambda: now[0]  # noqa: E731
    watch = DiskWatch(tmp_path, look=looks, clock=clock)
    watch.start()
    assert looks.asked.acquire(timeout=PATIENCE)
    looks.give(statvfs(free=1, available=1, size=1))  # the next look hangs
    now[0] = STALE
    assert watch.free() == 1024
    now[0] = STALE + 1
    assert math.isnan(watch.free())
    await watch.close()
    assert watch._thread.is_alive()
    assert watch._thread.daemon, "the process ends all the same"


async def test_without_a_thread_the_disk_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    watch = DiskWatch(tmp_path)
    with capture_logs() as logs:
        watch.start()
    assert [(line["event"], line["path"]) for line in logs] == [("disk.unwatched", str(tmp_path))]
    assert math.isnan(watch.free())
    await watch.close()


async def test_a_watch_that_is_closed_has_no_thread(tmp_path: Path) -> None:
    watch = DiskWatch(tmp_path)
    watch.start()
    await watch.close()
    watch._thread.join(PATIENCE)
    assert not watch._thread.is_alive()
