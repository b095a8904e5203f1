"""Addresses of our own, and the process's HTTP client: one session, loopback names without a resolver thread, bounded
bodies."""

from __future__ import annotations

import ipaddress
import secrets
import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

#: Bind addresses that stand for every address of the machine, and under which one of them this machine reaches it.
_WILDCARDS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound

_LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


def url_of(host: str, port: int) -> str:
    """The http URL under which this machine reaches a server that is bound to ``host`` (a name or an IP literal, in
    brackets or not; empty: every address) and ``port``. No slash at its end.

    ``::`` is reached by IPv6, for that is all it is bound to; a zone is written as RFC 6874 has it.
    """
    host = host.removeprefix("[").removesuffix("]")
    try:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address | None = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if not host or (address is not None and address.is_unspecified):
        host = _WILDCARDS[host if address is None else address.compressed]
    return f"http://[{host.replace('%', '%25')}]:{port}" if ":" in host else f"http://{host}:{port}"


_AGENTS = ".agent.localhost"


class LocalResolver(AbstractResolver):
    """``localhost`` and names below it are this machine, whatever a hosts file says (RFC 6761, section 6.3): 127.0.0.1
    first, then ::1, for a server may be bound to either; but agents are at 127.0.0.1 alone (:func:`agent_host`). No
    thread is needed. Other names go to aiohttp's own resolver.
    """

    def __init__(self) -> None:
        self._elsewhere = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if not is_local_name(host):
            return await self._elsewhere.resolve(host, port, family)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=own, proto=0, flags=socket.AI_NUMERICHOST)
            for own, address in _LOOPBACK
            if family in {socket.AF_UNSPEC, own} and (own == socket.AF_INET or not host.endswith(_AGENTS))
        ]

    async def close(self) -> None:
        await self._elsewhere.close()


def agent_host() -> str:
    """A name of 127.0.0.1 for one launched agent, which no other has.

    A client keeps connections by host and port. An agent that is ending has let its port go while connections to it
    are still open; under its number alone, what is meant for the next agent with that port would go to the last one.
    """
    return f"{secrets.token_hex(8)}{_AGENTS}"


def is_local_name(host: str) -> bool:
    """Whether a name is this machine by rule: ``localhost`` and all below it, in any case, with or without the final
    dot; RFC 6761, section 6.3. Agents follow the same rule in a copy of their own."""
    name = host.lower().removesuffix(".")
    return name == "localhost" or name.endswith(".localhost")


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


class NotJson(FetchFailed):
    """What was there does not say that it is JSON."""


def _says_json(kind: str) -> bool:
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


async def fetch_document(
    http: aiohttp.ClientSession, url: str, *, seconds: float, limit: int, as_json: bool = False
) -> bytes:
    """A small public document (a manifest, a DID document); redirects are not followed. Raises :class:`FetchFailed`,
    with ``as_json`` :class:`NotJson` for one that does not say that it is (RFC-AITP-0001, section 8)."""
    try:
        timeout = aiohttp.ClientTimeout(total=seconds)
        async with http.get(url, timeout=timeout, allow_redirects=False) as response:
            if response.status != 200:
                raise FetchFailed(f"{url} answered {response.status}")
            if as_json and not _says_json(response.content_type):
                raise NotJson(f"{url} does not say that it is JSON")
            return await read_bounded(response, limit)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as failure:  # ValueError: what is no URL
        raise FetchFailed(f"{url} could not be fetched ({type(failure).__name__})") from failure
