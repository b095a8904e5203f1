"""Bearer keys (RFC 6750), matched to the letter and in constant time; a bare one, without the scheme, is taken too."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256

from aiohttp import hdrs, web

from aitp_playground.control_plane.wire.answers import CALLER
from aitp_playground.control_plane.wire.errors import Refused

_SCHEME = "Bearer "


class Keys:
    """The accepted API keys, each good for everything. Only their digests are kept.

    ``misconfigured``: behave like a Control Plane in production whose list of keys is empty.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self.misconfigured = False
        self._digests = tuple(sha256(key.encode("utf-8", "surrogateescape")).digest() for key in keys)

    def check(self, request: web.Request) -> None:
        """Raises 401 ``INVALID_API_KEY``, 503 ``SERVER_MISCONFIGURED``; a missing and a wrong key are told alike."""
        # The routes by which it is switched off again stay open to the keys there are.
        if self.misconfigured and not request.path.startswith("/dev/"):
            raise Refused(503, "no API keys are configured", "SERVER_MISCONFIGURED")
        presented = bearer(request)
        digest = sha256((presented or "").encode("utf-8", "surrogateescape")).digest()
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        if presented is None or not any(matches):
            raise Refused(401, "Unauthorized", "INVALID_API_KEY")
        request[CALLER] = f"apikey:{digest.hex()[:16]}"


def bearer(request: web.Request) -> str | None:
    """What the header holds after ``Bearer`` and one space, or all of it when it starts otherwise; None without any."""
    return request.headers.get(hdrs.AUTHORIZATION, "").removeprefix(_SCHEME) or None
