"""What the system is short of, where its own words would not tell: fork(2), clone(2), pipe(2), socket(2)."""

from __future__ import annotations

import errno

_SAID = {
    errno.EAGAIN: "the system starts no more processes for this user (`ulimit -u`, or the container's pids limit)",
    errno.ENOMEM: "the system has no memory for another process",
    errno.EMFILE: "no more files may be opened (`ulimit -n`)",
    errno.ENFILE: "the system may open no more files (fs.file-max)",
}


def shortage(failure: Exception) -> str | None:
    """What there is too little of, and which limit that is; None when the failure is another."""
    return _SAID.get(failure.errno or 0) if isinstance(failure, OSError) else None
