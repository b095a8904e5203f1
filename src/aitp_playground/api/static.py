"""Answers that are the same for everybody for as long as the process lives: made once, packed once, revalidated."""

from __future__ import annotations

import gzip
import re
from hashlib import sha256

from aiohttp import ETag, hdrs, web

_CODING = re.compile(r"\s*([^\s;]+)\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?", re.ASCII)


class Static:
    """A body with its type, the Content-Security-Policy that it needs, and the same packed. Making one takes
    milliseconds per 100 KB: not on the loop."""

    def __init__(self, body: bytes, content_type: str, *, policy: str | None = None) -> None:
        self._body, self._packed = body, gzip.compress(body, mtime=0)
        self._type, self._policy = content_type, policy
        # Weak, since both representations have it (RFC 9110, section 8.8.1).
        self._tag = ETag(value=sha256(body).hexdigest()[:32], is_weak=True)

    def to(self, request: web.Request) -> web.Response:
        """The answer: packed for who takes that, without a body for who has it."""
        headers: dict[str, str] = {hdrs.CACHE_CONTROL: "no-cache", hdrs.VARY: hdrs.ACCEPT_ENCODING}
        if self._policy is not None:
            headers["Content-Security-Policy"] = self._policy
        if any(known.value in {"*", self._tag.value} for known in request.if_none_match or ()):
            response = web.Response(status=304, headers=headers)
        else:
            packed = takes_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
            if packed:
                headers[hdrs.CONTENT_ENCODING] = "gzip"
            body = self._packed if packed else self._body
            response = web.Response(body=body, headers=headers, content_type=self._type, charset="utf-8")
        response.etag = self._tag
        return response


def takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding (RFC 9110, section 12.5.3) lets gzip in; one that cannot be read does not."""
    weights: dict[str, float] = {}
    for part in accepted.split(","):
        if found := _CODING.fullmatch(part):
            weights[found[1].lower()] = float(found[2] or 1)
    return weights.get("gzip", weights.get("*", 0.0)) > 0
