"""Content-Encoding of request bodies (RFC 9110, section 8.4), undone here: signatures cover what was received."""

from __future__ import annotations

import zlib

from aiohttp import hdrs, web

from aitp_playground.errors import EncodingUnknown, MalformedRequest, PayloadTooLarge

#: ``deflate`` is the zlib format (RFC 9110, section 8.4.1.2); ``x-gzip`` is gzip.
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_NONE = frozenset({"", "identity"})


def encoding_of(request: web.Request) -> str | None:
    """The encoding of the body, None when it has none. Raises EncodingUnknown, before anything is read."""
    named = ",".join(request.headers.getall(hdrs.CONTENT_ENCODING, [])).lower()
    encodings = [name for part in named.split(",") if (name := part.strip()) not in _NONE]
    if not encodings:
        return None
    if len(encodings) > 1 or encodings[0] not in _WINDOWS:
        raise EncodingUnknown("Content-Encoding: one of gzip and deflate is understood, or none")
    return encodings[0]


def plain(raw: bytes, encoding: str | None, limit: int) -> bytes:
    """``raw`` decoded, at most ``limit`` bytes. Raises PayloadTooLarge, and MalformedRequest for what is damaged, not
    whole, or longer than its data."""
    if encoding is None or not raw:
        return raw
    inflating = zlib.decompressobj(_WINDOWS[encoding])
    try:
        body = inflating.decompress(raw, limit + 1)
    except zlib.error:
        raise MalformedRequest(f"the body is not {encoding}, as its Content-Encoding says") from None
    if len(body) > limit:
        raise PayloadTooLarge(f"the body is larger than {limit} bytes")
    if not inflating.eof:
        raise MalformedRequest(f"the body ends before its {encoding} data does")
    if inflating.unused_data:
        raise MalformedRequest(f"the body goes on after its {encoding} data")
    return body
