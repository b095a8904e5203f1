"""Reading a body of which nobody knows how long it is."""

from __future__ import annotations

import aiohttp


async def read_bounded(content: aiohttp.StreamReader, limit: int) -> bytes | None:
    """The whole body; None as soon as it is longer than ``limit`` bytes. Raises what the stream raises."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


def is_json(content_type: str) -> bool:
    """Whether a Content-Type is JSON's, or that of something which is JSON underneath."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
