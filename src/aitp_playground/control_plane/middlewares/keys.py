"""Bearer keys (RFC 6750), matched to the letter and in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256

from aiohttp import hdrs, web

from aitp_playground.control_plane.wire.answers import CALLER
from aitp_playground.control_plane.wire.errors import Refused

_SCHEME = "Bearer "


class Keys:
    """The accepted API keys. Only their digests are kept."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = tuple(sha256(key.encode("utf-8", "surrogateescape")).digest() for key in keys)

    def check(self, request: web.Request) -> None:
        """Raises 401 ``INVALID_API_KEY``; a missing key and a wrong one are told alike."""
        presented = bearer(request)
        digest = sha256((presented or "").encode("utf-8", "surrogateescape")).digest()
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        if presented is None or not any(matches):
            raise Refused(401, "Unauthorized", "INVALID_API_KEY")
        request[CALLER] = f"apikey:{digest.hex()[:16]}"


def bearer(request: web.Request) -> str | None:
    """What follows ``Bearer`` and one space; None when the header is missing or starts otherwise."""
    header = request.headers.get(hdrs.AUTHORIZATION, "")
    return header.removeprefix(_SCHEME) if header.startswith(_SCHEME) and header != _SCHEME else None
