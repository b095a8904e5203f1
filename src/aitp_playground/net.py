"""The process's HTTP client: one session, loopback names without a resolver thread, bounded bodies."""

from __future__ import annotations

import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult


class LocalResolver(AbstractResolver):
    """``localhost`` is 127.0.0.1, always: no thread, no hosts file. Other names go to aiohttp's own resolver."""

    def __init__(self) -> None:
        self._elsewhere = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host != "localhost" and not host.endswith(".localhost"):
            return await self._elsewhere.resolve(host, port, family)
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=socket.AI_NUMERICHOST
            )
        ]

    async def close(self) -> None:
        await self._elsewhere.close()


def client_session() -> aiohttp.ClientSession:
    """The one client session of a process; proxies of the environment are not asked, cookies not kept."""
    connector = aiohttp.TCPConnector(resolver=LocalResolver(), limit=0, limit_per_host=32, ttl_dns_cache=300)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)


class BodyTooLong(aiohttp.ClientPayloadError):
    """The body goes on past what the reader is ready to hold; a plain ``ClientPayloadError`` is one that broke off."""


async def read_bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The whole body of an answer. Raises :class:`BodyTooLong` when it is longer than ``limit`` bytes."""
    return await read_stream(response.content, limit)


async def read_stream(stream: aiohttp.StreamReader, limit: int) -> bytes:
    """A whole body, of a request or an answer. Raises :class:`BodyTooLong` when it is longer than ``limit`` bytes."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in stream.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise BodyTooLong(f"the body is longer than {limit} bytes")
    return b"".join(chunks)


class FetchFailed(Exception):
    """A document could not be had; the text names the URL and what came instead."""


async def fetch_document(http: aiohttp.ClientSession, url: str, *, seconds: float, limit: int) -> bytes:
    """A small public document (a manifest, a DID document); redirects are not followed. Raises :class:`FetchFailed`."""
    try:
        timeout = aiohttp.ClientTimeout(total=seconds)
        async with http.get(url, timeout=timeout, allow_redirects=False) as response:
            if response.status != 200:
                raise FetchFailed(f"{url} answered {response.status}")
            return await read_bounded(response, limit)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as failure:  # ValueError: what is no URL
        raise FetchFailed(f"{url} could not be fetched ({type(failure).__name__})") from failure
