"""The Control Plane's signed revocation list (RFC-AITP-0008): only a verified one says anything."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import aitp

from aitp_playground.cp_client.answers import Row, record
from aitp_playground.cp_client.reasons import Degraded

#: How far the issuer's clock may be ahead. A list from further ahead would make every later one look like a rollback.
CLOCK_SKEW: Final = 300


class RevocationLists:
    """Verifies lists of one issuer and remembers the newest, since an older one that has not expired verifies too.

    The memory lasts as long as the process: a list expires within the hour.
    """

    def __init__(self) -> None:
        self._newest = 0

    async def accept(self, body: bytes, issuer: str) -> list[Row]:
        """The entries, ``{"jti", "revoked_at", "reason"?}`` each. Raises :class:`Degraded`.

        Verifying 10,000 entries takes 20 ms, so it is done off the loop.
        """
        published, entries = await asyncio.to_thread(_verified, body, issuer)
        if published < self._newest:
            raise _unverified(f"published {self._newest - published} s before one already seen")
        if published > time.time() + CLOCK_SKEW:
            raise _unverified("published in the future")
        self._newest = published
        return entries


def _verified(body: bytes, issuer: str) -> tuple[int, list[Row]]:
    envelope = record(body).get("revocation_list")
    if not isinstance(envelope, dict) or not isinstance(envelope.get("entries"), list):
        raise Degraded("bad_shape", "the answer is not a revocation list")
    try:
        aitp.verify_revocation_list(body.decode(), issuer)
    except (RuntimeError, ValueError) as refusal:
        raise _unverified(getattr(refusal, "code", None) or "malformed") from None
    return int(envelope["published_at"]), envelope["entries"]


def _unverified(why: str) -> Degraded:
    return Degraded("list_unverified", f"the revocation list is not accepted: {why}")
