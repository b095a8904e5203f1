"""Bodies of which nobody knows how long they are, what they unpack to, and how much is in them."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

import aiohttp

#: Values in one document: JSON's parser lets nothing else happen while it makes them.
MAX_VALUES = 100_000
#: Matches from any quote on, so that no text is looked through more than once.
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)

#: Of a body, by its name (RFC 9110, section 8.4.1), what zlib is to be told. ``deflate`` is zlib's own format.
_ENCODINGS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
ENCODINGS = ("identity", "gzip", "deflate")


async def read_bounded(content: aiohttp.StreamReader, limit: int) -> bytes | None:
    """The whole body; None as soon as it is longer than ``limit`` bytes. Raises what the stream raises."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


def encoding_of(named: Iterable[str]) -> str | None:
    """What the values of Content-Encoding say; None for a body as it is. Raises ``LookupError`` for what is not undone
    here: any other, or more than one."""
    names = [name.strip().lower() for value in named for name in value.split(",")]
    encodings = [name for name in names if name not in ("", "identity")]
    if not encodings:
        return None
    if len(encodings) > 1 or encodings[0] not in _ENCODINGS:
        raise LookupError(encodings[0])
    return encodings[0]


def unpacked(body: bytes, encoding: str, limit: int) -> bytes | None:
    """The body without its encoding; None when it is longer than ``limit`` bytes then. Raises ``ValueError`` for one
    that is damaged, or not exactly one stream."""
    stream = zlib.decompressobj(_ENCODINGS[encoding])
    try:
        content = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise ValueError("damaged") from error
    if len(content) > limit:
        return None
    if not stream.eof or stream.unused_data:
        raise ValueError("not exactly one stream")
    return content


def is_crowded(text: str) -> bool:
    """Whether a JSON text has more than :data:`MAX_VALUES` values, by what stands before each."""
    if _values(text) <= MAX_VALUES:
        return False
    return _values(_STRING.sub("", text)) > MAX_VALUES  # in a text they are but characters


def _values(text: str) -> int:
    return text.count(",") + text.count("{") + text.count("[")


def is_json(content_type: str) -> bool:
    """Whether a Content-Type is JSON's, or that of something which is JSON underneath."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
