"""Files that only this user may read: keys, seeds, pins. Made whole or not at all, looked at before they are trusted.

Nothing is changed at a path that turns out wrong.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path

OTHERS = 0o077


class NotPrivate(OSError):
    """The path is there and cannot be trusted: ``strerror`` says why, ``mode`` is set when it is the permissions."""

    def __init__(self, path: Path, why: str, *, mode: int | None = None) -> None:
        super().__init__(errno.EPERM, why, str(path))
        self.mode = mode


def directory(path: Path) -> Path:
    """Create ``path`` (0700) unless it is there. An existing directory is the operator's and stays as it is."""
    missing = [part for part in (path, *path.parents) if not part.exists()]
    for part in reversed(missing):
        try:
            part.mkdir(mode=0o700)
        except FileExistsError:
            continue
        part.chmod(0o700)
    return path


def create(path: Path, content: bytes) -> None:
    """Write beside, then link: the file (0600) appears whole, on disk, and never replaces another process's.

    Of two that make it at once the first wins. The directory has to be there. Raises ``OSError``.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def read(path: Path, most: int) -> bytes:
    """The first ``most`` bytes of a regular file of this user that nobody else may read or write. Follows no link.

    Raises ``FileNotFoundError``, :class:`NotPrivate` and other ``OSError``.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as failure:
        if failure.errno == errno.ELOOP:
            raise NotPrivate(path, "it is a link") from None
        raise
    try:
        refuse_public(path, os.fstat(descriptor))
        return os.read(descriptor, most)
    finally:
        os.close(descriptor)


def refuse_public(path: Path, state: os.stat_result) -> None:
    """Raises :class:`NotPrivate` unless ``state`` is that of a regular file of this user, closed to others."""
    if not stat.S_ISREG(state.st_mode):
        raise NotPrivate(path, "it is not a regular file")
    if state.st_uid != os.geteuid():
        raise NotPrivate(path, "it is not owned by this user")
    if state.st_mode & OTHERS:
        mode = state.st_mode & 0o777
        raise NotPrivate(path, f"it can be read by others (mode {mode:03o})", mode=mode)
