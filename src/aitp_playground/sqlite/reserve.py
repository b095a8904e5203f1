"""Disk that is kept so that something can still be removed when there is no other left."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


class Reserve:
    """A file of ``size`` bytes that holds nothing, or no file. Several processes may share one. Every call blocks."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size

    @property
    def there(self) -> bool:
        """Whether it is kept, or is to be nothing."""
        return not self.size or self.path.exists()

    def keep(self, spare: int) -> bool:
        """Have it there; False when the disk would have less than ``spare`` bytes left beside it, or takes no file."""
        if not self.size:
            self.spend()
            return True
        if self.there:
            return True
        try:
            found = os.statvfs(self.path.parent)
            if found.f_bavail * found.f_frsize < self.size + spare:
                return False
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return True
        except OSError:
            return False
        try:
            os.fchmod(descriptor, 0o600)
            os.posix_fallocate(descriptor, 0, self.size)
        except OSError:
            self.spend()
            return False
        finally:
            os.close(descriptor)
        return True

    def spend(self) -> None:
        """Let go of it."""
        with suppress(OSError):
            self.path.unlink()
