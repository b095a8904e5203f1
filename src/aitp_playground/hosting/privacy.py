"""Keeping this process's memory and what strangers send it to itself."""

from __future__ import annotations

import ctypes
import logging
import sys

_PR_SET_DUMPABLE = 4


def keep_private() -> None:
    """Close memory, environment and descriptors to other processes of this user, agents among them, and write no core
    file; proc(5). Only Linux has the call. Meant for a process of its own: nothing undoes it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


class Unquoted(logging.Filter):
    """Errors of the HTTP parser without their traces: those quote the header at fault, and tokens travel in headers."""

    def filter(self, record: logging.LogRecord) -> bool:
        # Imported here: a command closes its process before it has loaded what serves HTTP.
        from aiohttp.http_exceptions import HttpProcessingError

        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.msg, record.args, record.exc_info = f"not HTTP: {type(error).__name__}", (), None
        return True


UNQUOTED = Unquoted()
