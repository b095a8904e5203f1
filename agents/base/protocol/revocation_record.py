"""What an agent keeps on disk that keeps its key over restarts: what it revoked or withholds, what was made from what,
and which delegations were redeemed.

RFC-AITP-0008, section 1.3: a revoked token must not be good again because its issuer was started anew; nor may a
delegation. An agent of a run has a key for that run alone and keeps nothing. Tokens themselves are never on disk.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from base.process import private_files
from base.process.private_files import UnusableFile
from base.protocol.redeemed import RedeemedBook
from base.protocol.revocation import RevocationState
from base.refusals import Fault

#: 1 had no ``withheld`` and no ``redeemed``.
VERSION = 2
MAX_BYTES = 16 << 20


class RevocationRecord:
    """One file for each AID, written whole by one process at a time. Without a directory nothing is kept."""

    def __init__(self, directory: str | None, aid: str, revocations: RevocationState, redeemed: RedeemedBook) -> None:
        """Read what there is. Raises ``OSError`` with a sentence: damaged, open to others, or in use."""
        self._aid = aid
        self._revocations = revocations
        self.redeemed = redeemed
        self._written = self._changes
        self._writing: asyncio.Task[OSError | None] | None = None
        self._path: Path | None = None
        self._lock = -1
        # A thread of its own: the loop's are taken by names that a peer's slow resolver is asked for.
        self._disk = ThreadPoolExecutor(1, "revocation-record")
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
        with suppress(Fault):  # it is on stderr, and nobody is there to be told
            await self.save()
        self._disk.shutdown(wait=False)
        self._release()

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def save(self) -> None:
        """Return once all that was revoked or made so far is on disk. Raises 503 when it cannot be written."""
        goal = self._changes
        while (writing := self._begun(goal)) is not None:
            # A caller that is cancelled leaves the write to go on: two at once could end in the wrong order.
            await asyncio.wait((writing,))
            if (failure := writing.result()) is not None:
                why = failure.strerror or "input or output failed"
                message = f"what was decided holds, but not when this agent is started anew: it cannot be kept ({why})"
                raise Fault(503, "overloaded", message) from failure

    def begin(self) -> None:
        """Have it written, for who cannot wait: a task that is being cancelled. :meth:`close` does."""
        self._begun(self._changes)

    @property
    def _changes(self) -> int:
        return self._revocations.changes + self.redeemed.changes

    def _begun(self, goal: int) -> asyncio.Task[OSError | None] | None:
        """The writing that is going on, or that has to begin; None when so much is on disk."""
        if self._path is None or self._written >= goal:
            return None
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(self._path), name="revocation-record")
        return self._writing

    async def _write(self, path: Path) -> OSError | None:
        """Write what there is now. Returns why it could not: whoever asked may not be there any more."""
        try:
            changes, kept = self._changes, self._revocations.kept() | {"redeemed": self.redeemed.kept()}
            document = {"v": VERSION, "aid": self._aid, **kept}
            await asyncio.get_running_loop().run_in_executor(self._disk, _write, path, document)
        except OSError as failure:
            sys.stderr.write(f"{path} cannot be written: {failure.strerror or failure}\n")
            return failure
        else:
            self._written = changes
            return None
        finally:
            self._writing = None

    def _restore(self, path: Path, content: bytes) -> None:
        try:
            document = json.loads(content)
            if document["v"] not in (1, VERSION) or document["aid"] != self._aid:
                raise ValueError("of another version, or another agent's")  # noqa: TRY301 - damaged like the others
            self._revocations.restore(document["revoked"], document["lineage"], document.get("withheld", []))
            self.redeemed.restore(document.get("redeemed", []))
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
            raise UnusableFile(
                f"{path} is damaged. Put back a copy of it; or remove it, and what this agent revoked is good again "
                "until it expires"
            ) from None
        self._written = self._changes


def _write(path: Path, document: dict[str, Any]) -> None:
    private_files.replace(path, "".join(_encoded(document)).encode())


def _encoded(document: dict[str, Any]) -> Iterator[str]:
    """The document in pieces: encoded at once, its megabytes would let nothing else in the process run meanwhile."""
    return json.JSONEncoder(separators=(",", ":")).iterencode(document)
