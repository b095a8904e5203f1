"""Files that only this user may read or write: looked at before they are trusted, replaced whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
import time
from pathlib import Path

OTHERS = 0o077
#: Seconds for which a lock is waited for: a process that was just told to end may still hold it.
LOCK_WAIT = 5.0
_LOCK_PAUSE = 0.05


class UnusableFile(OSError):
    """The file is there and must not be used. The message is a sentence for whoever starts the process."""


def read(path: Path, most: int) -> bytes | None:
    """A file's bytes; None when there is none. Follows no link. Raises :class:`UnusableFile` and other ``OSError``."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as failure:
        if failure.errno == errno.ELOOP:
            raise UnusableFile(f"{path} is a link, which is not followed") from None
        raise
    with os.fdopen(descriptor, "rb") as stream:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_uid != os.geteuid():
            raise UnusableFile(f"{path} is not a regular file of this user")
        if state.st_mode & OTHERS:
            mode = f"{state.st_mode & 0o777:03o}"
            raise UnusableFile(f"{path} is open to others (mode {mode}). Set its mode to 600 if nobody has changed it")
        content = stream.read(most + 1)
    if len(content) > most:
        raise UnusableFile(f"{path} holds more than {most} bytes")
    return content


def replace(path: Path, content: bytes) -> None:
    """Put ``content`` in the place of the file (0600): afterwards it is on disk, whole. Raises ``OSError``."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def hold(path: Path) -> int:
    """Lock a file of its own for as long as the descriptor stays open. Raises ``BlockingIOError`` when it is held."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    give_up = time.monotonic() + LOCK_WAIT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                os.close(descriptor)
                raise
            time.sleep(_LOCK_PAUSE)
        except BaseException:
            os.close(descriptor)
            raise
        else:
            return descriptor
