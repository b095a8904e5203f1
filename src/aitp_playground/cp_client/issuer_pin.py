"""Whose revocation list counts: the AID that was configured, or else the first one this Control Plane showed us."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import aitp
import orjson
import structlog

from aitp_playground import private_files
from aitp_playground.cp_client.reasons import Degraded
from aitp_playground.errors import ConfigurationError

_DIRECTORY: Final = "cp-pins"
_LONGEST: Final = 64 * 1024

_log = structlog.get_logger(__name__)


class IssuerPin:
    """The pinned AID of one base URL, kept in ``<state_dir>/cp-pins`` with mode 0600 (trust on first use).

    Raises ``ConfigurationError`` for a ``configured`` AID that is none.
    """

    def __init__(self, base_url: str, configured: str, state_dir: Path) -> None:
        if configured and not is_aid(configured):
            raise ConfigurationError("CP_AID: it is not an AID (aid:pubkey:…)")
        self._base_url = base_url
        self._aid = configured
        self._file = state_dir / _DIRECTORY / f"{hashlib.sha256(base_url.encode()).hexdigest()}.json"

    async def aid(self, first_contact: Callable[[], Awaitable[str]]) -> str:
        """The pin; ``first_contact`` asks the Control Plane and is awaited only if there is none yet.

        Raises :class:`Degraded`: ``list_unverified`` when the file that should hold it cannot be trusted.
        """
        if not self._aid:
            self._aid = await asyncio.to_thread(self._kept) or await self._keep(await first_contact())
        return self._aid

    async def _keep(self, aid: str) -> str:
        """Write down a first contact. Of two processes that make it at once, both get what the first one wrote."""
        try:
            await asyncio.to_thread(self._create, aid)
        except OSError as failure:
            _log.warning("cp_client.pin_not_kept", error=failure.strerror)
            return aid
        _log.info("cp_client.issuer_pinned", aid=aid, url=self._base_url)
        return await asyncio.to_thread(self._kept) or aid

    def _create(self, aid: str) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        private_files.create(self._file, orjson.dumps({"url": self._base_url, "aid": aid}))

    def _kept(self) -> str:
        """What the file says; empty if there is none. A damaged pin is not replaced: that is what an attacker wants."""
        try:
            aid = _aid_in(private_files.read(self._file, _LONGEST), self._base_url)
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except OSError as failure:
            raise self._untrusted(failure.strerror or "it cannot be read") from None
        if not aid:
            raise self._untrusted("it is damaged")
        return aid

    def _untrusted(self, why: str) -> Degraded:
        return Degraded(
            "list_unverified", f"the pin of the Control Plane in {self._file.name} is not usable: {why}", sent=False
        )


def is_aid(text: Any) -> bool:
    """Whether the SDK reads it as an AID."""
    try:
        aitp.compute_aid_jkt(text)
    except (ValueError, TypeError, RuntimeError):
        return False
    return True


def _aid_in(raw: bytes, base_url: str) -> str:
    try:
        pin = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return ""
    fits = isinstance(pin, dict) and pin.get("url") == base_url and is_aid(pin.get("aid"))
    return str(pin["aid"]) if fits else ""
