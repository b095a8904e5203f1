"""Bodies of which nobody knows how long they are, what they unpack to, and how much is in them."""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections.abc import Iterable
from typing import Any

import aiohttp

#: Values in one document: JSON's parser lets nothing else happen while it makes them.
MAX_VALUES = 100_000
#: Matches from any quote on, so that no text is looked through more than once.
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)

#: Digits of a whole number: reading and writing one takes time by the square of them.
MAX_DIGITS = 400
_LONG = re.compile(rf"\d{{{MAX_DIGITS}}}")

#: Bytes that are undone at a time.
_PIECE = 16 << 10
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


async def unpacked(body: bytes, encoding: str, limit: int) -> bytes | None:
    """The body without its encoding; None when it is longer than ``limit`` bytes then. Raises ``ValueError`` for one
    that is damaged, or not exactly one stream. Others have their turn in between: little can be much to undo."""
    stream, content = zlib.decompressobj(_ENCODINGS[encoding]), bytearray()
    for start in range(0, len(body), _PIECE):
        piece = body[start : start + _PIECE]
        while piece:
            try:
                content += stream.decompress(piece, limit + 1 - len(content))
            except zlib.error as error:
                raise ValueError("damaged") from error
            if len(content) > limit:
                return None
            piece = stream.unconsumed_tail
        if stream.unused_data:
            break
        await asyncio.sleep(0)
    if not stream.eof or stream.unused_data:
        raise ValueError("not exactly one stream")
    return bytes(content)


def structure(text: str) -> int:
    """How many values a JSON text may have at most, by what stands before each; in texts the same signs count too."""
    return text.count(",") + text.count("{") + text.count("[")


def is_crowded(text: str) -> bool:
    """Whether a JSON text has more than :data:`MAX_VALUES` values."""
    if structure(text) <= MAX_VALUES:
        return False
    # In a text they are but characters. Beyond so many texts there are too many values, whatever else there is.
    bare, texts = _STRING.subn("", text, 2 * MAX_VALUES)
    return texts == 2 * MAX_VALUES or structure(bare) > MAX_VALUES


def parse_json(text: str, **hooks: Any) -> Any:
    """What is in a JSON text. Raises ``ValueError``, also for a number whose digits would take their time, and
    ``RecursionError``. ``hooks`` are those of :func:`json.loads`."""
    if _LONG.search(text):
        hooks = {"parse_int": _modest, **hooks}
    return json.loads(text, **hooks)


def _modest(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of more than {MAX_DIGITS} digits")
    return int(digits)


def is_json(content_type: str) -> bool:
    """Whether a Content-Type is JSON's, or that of something which is JSON underneath."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
