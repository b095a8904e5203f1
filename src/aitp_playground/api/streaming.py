"""Long answers: written piece by piece, so that what they cost does not grow with what they hold."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence

import structlog
from aiohttp import ETag, hdrs, web

from aitp_playground.errors import RunNotFound

log = structlog.get_logger(__name__)

#: An answer that ends within this many bytes is sent whole, with its length.
WHOLE_BYTES = 256 * 1024
#: Bytes handed to a connection at once, each waiting for room.
PIECE_BYTES = 64 * 1024
#: Seconds that one slice may wait for a reader.
STALL = 120.0


async def written(
    request: web.Request,
    pieces: AsyncGenerator[bytes],
    *,
    content_type: str,
    headers: Mapping[str, str] | None = None,
    etag: ETag | None = None,
) -> web.StreamResponse:
    """An answer made of ``pieces``. One that fails on its way is cut, so that nobody takes it for whole.

    Raises what the first pieces raise, while nothing has been sent. ``pieces`` is closed in any case.
    """
    async with contextlib.aclosing(pieces):
        return await _written(request, pieces, content_type, headers, etag)


async def _written(
    request: web.Request,
    pieces: AsyncGenerator[bytes],
    content_type: str,
    headers: Mapping[str, str] | None,
    etag: ETag | None,
) -> web.StreamResponse:
    first: list[bytes] = []
    size = 0
    async for piece in pieces:
        first.append(piece)
        size += len(piece)
        if size > WHOLE_BYTES:
            break
    else:
        whole = web.Response(body=b"".join(first), headers=headers, content_type=content_type, charset="utf-8")
        whole.etag = etag
        return whole
    response = web.StreamResponse(headers=headers)
    response.content_type, response.charset, response.etag = content_type, "utf-8", etag
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return response
    try:
        while first:
            await write(response, first.pop(0))
        async for piece in pieces:
            await write(response, piece)
        await response.write_eof()
    except (TimeoutError, ConnectionError, RunNotFound):
        cut(request)
    except Exception:
        log.exception("api.answer_cut", path=request.path)
        cut(request)
    return response


def joined(parts: Iterable[bytes]) -> Generator[bytes]:
    """The same bytes in copies of at most :data:`PIECE_BYTES`: small parts together, large ones cut."""
    held: list[bytes] = []
    size = 0
    for part in parts:
        if held and size + len(part) > PIECE_BYTES:
            yield b"".join(held)
            held, size = [], 0
        if len(part) > PIECE_BYTES:
            for start in range(0, len(part), PIECE_BYTES):
                yield part[start : start + PIECE_BYTES]
        else:
            held.append(part)
            size += len(part)
    if held:
        yield b"".join(held)


def listed(documents: Sequence[bytes], *, first: bool) -> Generator[bytes]:
    """Elements of a JSON array, as :func:`joined`. ``first``: they begin the array."""
    return joined(
        part for index, document in enumerate(documents) for part in (b"" if first and index == 0 else b",", document)
    )


async def write(response: web.StreamResponse, piece: bytes, *, stall: float = STALL) -> None:
    """Hand ``piece`` over. Raises TimeoutError when the reader leaves no room for it for ``stall`` seconds.

    What a failed write was given lives on with its traceback, in a cycle that waits for the collector: so nothing large
    is ever given (:func:`joined`).
    """
    async with asyncio.timeout(stall):
        await response.write(piece)


def cut(request: web.Request) -> None:
    """End the connection in the middle of an answer: a reader that does not read would keep an orderly end waiting."""
    if request.transport is not None:
        request.transport.abort()
