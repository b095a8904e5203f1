"""Who is alive: every process holds an exclusive flock on a file of its own for as long as it lives.

The kernel lets go of the lock when a process dies, however it dies, so a lock that can be had belongs to nobody.
Owner ids are never used twice, which is what makes removing a dead one's file safe.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from contextlib import suppress
from pathlib import Path

from aitp_playground import private_files

_SUFFIX = ".lock"


class OwnerLock:
    """This process's claim. ``owner_id`` is valid from the start, the claim from :meth:`acquire` to :meth:`release`."""

    def __init__(self, directory: Path) -> None:
        self.owner_id = uuid.uuid4().hex
        self.directory = directory.absolute()
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Create the lock file (0600) and lock it. Blocks no longer than another process's probe. Raises OSError."""
        private_files.directory(self.directory)
        path = _lock_file(self.directory, self.owner_id)
        while self._descriptor is None:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.fchmod(descriptor, 0o600)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                # A probe may have come between creation and lock and removed the file as a dead one's.
                if _is_same_file(descriptor, path):
                    self._descriptor, descriptor = descriptor, -1
            finally:
                if descriptor >= 0:
                    os.close(descriptor)

    def release(self) -> None:
        """Remove the file and let go."""
        if self._descriptor is not None:
            _lock_file(self.directory, self.owner_id).unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None


def is_alive(owner_id: str, *directories: Path) -> bool:
    """Whether a process holds this owner's lock in any of the directories. Removes the file of a dead one.

    Two processes may name the same database with different state directories, hence several places to look.
    """
    return any(_is_held(_lock_file(directory, owner_id)) for directory in directories)


def sweep(directory: Path) -> None:
    """Remove the lock files that dead processes left."""
    for path in directory.glob(f"*{_SUFFIX}"):
        _is_held(path)


def _lock_file(directory: Path, owner_id: str) -> Path:
    return directory / f"{owner_id}{_SUFFIX}"


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # not ours to judge: ending a live process's runs is worse than leaving a dead one's
    try:
        # Shared, so that two probes at once do not take each other for the owner.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if _is_same_file(descriptor, path):
            path.unlink(missing_ok=True)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_same_file(descriptor: int, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False
