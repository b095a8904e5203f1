"""What an agent keeps on disk that keeps its key over restarts: its own revocations, and what was made from what.

RFC-AITP-0008, section 1.3: a revoked token must not be good again because its issuer was started anew. An agent of a
run has a key for that run alone and keeps nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from base.process import private_files
from base.process.private_files import UnusableFile
from base.protocol.revocation import RevocationState
from base.refusals import Fault

VERSION = 1
MAX_BYTES = 16 << 20


class RevocationRecord:
    """One file for each AID, written whole by one process at a time. Without a directory nothing is kept."""

    def __init__(self, directory: str | None, aid: str, revocations: RevocationState) -> None:
        """Read what there is. Raises ``OSError`` with a sentence: damaged, open to others, or in use."""
        self._aid = aid
        self._revocations = revocations
        self._written = revocations.changes
        self._writing: asyncio.Task[OSError | None] | None = None
        self._path: Path | None = None
        self._lock = -1
        if directory is None:
            return
        self._path = Path(directory) / f"{hashlib.sha256(aid.encode()).hexdigest()[:16]}.json"
        try:
            self._lock = private_files.hold(self._path.with_suffix(".lock"))
        except BlockingIOError:
            raise UnusableFile(
                f"{self._path} is in use: another process runs as this agent. End that one, or give this one a state "
                "directory of its own"
            ) from None
        try:
            if (content := private_files.read(self._path, MAX_BYTES)) is not None:
                self._restore(self._path, content)
        except BaseException:
            self._release()
            raise

    async def close(self) -> None:
        """Finish what is being written and let another process have the file."""
        if self._writing is not None:
            await asyncio.wait((self._writing,))
        self._release()

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def save(self) -> None:
        """Return once all that was revoked or made so far is on disk. Raises 503 when it cannot be written."""
        goal = self._revocations.changes
        while self._path is not None and self._written < goal:
            if self._writing is None:
                self._writing = asyncio.create_task(self._write(self._path), name="revocation-record")
            writing = self._writing
            # A caller that is cancelled leaves the write to go on: two at once could end in the wrong order.
            await asyncio.wait((writing,))
            if (failure := writing.result()) is not None:
                sys.stderr.write(f"{self._path} cannot be written: {failure.strerror or failure}\n")
                why = failure.strerror or "input or output failed"
                message = f"what was decided holds, but not when this agent is started anew: it cannot be kept ({why})"
                raise Fault(503, "overloaded", message) from failure

    async def _write(self, path: Path) -> OSError | None:
        """Write what there is now. Returns why it could not: whoever asked may not be there any more."""
        try:
            changes, kept = self._revocations.changes, self._revocations.kept()
            await asyncio.to_thread(_write, path, {"v": VERSION, "aid": self._aid, **kept})
        except OSError as failure:
            return failure
        else:
            self._written = changes
            return None
        finally:
            self._writing = None

    def _restore(self, path: Path, content: bytes) -> None:
        try:
            document = json.loads(content)
            if document["v"] != VERSION or document["aid"] != self._aid:
                raise ValueError("of another version, or another agent's")  # noqa: TRY301 - damaged like the others
            self._revocations.restore(document["revoked"], document["lineage"])
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
            raise UnusableFile(
                f"{path} is damaged. Put back a copy of it; or remove it, and what this agent revoked is good again "
                "until it expires"
            ) from None
        self._written = self._revocations.changes


def _write(path: Path, document: dict[str, Any]) -> None:
    private_files.replace(path, json.dumps(document, separators=(",", ":")).encode())
