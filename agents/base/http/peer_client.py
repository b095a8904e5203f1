"""Talking to other agents: one HTTP session per process, and no surprise in what comes back.

No redirects, no proxies from the environment, no cookies, bounded bodies, a time-out on everything. Whatever goes
wrong becomes a :class:`~base.refusals.PeerFailed` with a class, so that callers never see the library's errors.
"""

from __future__ import annotations

import asyncio
import io
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import aitp
from aiohttp.abc import AbstractResolver, ResolveResult

from base.aids import same_key
from base.http import tracing
from base.http.bodies import MAX_VALUES, is_crowded, is_json, parse_json, read_bounded
from base.refusals import PeerFailed

#: Of what a capability answers, and of a revocation list; and of any other document of the protocol.
MAX_ANSWER = 4 << 20
MAX_DOCUMENT = 256 << 10
CONNECT_TIMEOUT = 3.0
#: Shorter than a capability's own limit would cut honest answers off.
CALL_TIMEOUT = 125.0
EXCHANGE_TIMEOUT = 10.0


def is_local_name(host: str) -> bool:
    """Whether a name is this machine by rule: ``localhost`` and all below it, in any case, with or without the final
    dot; RFC 6761, section 6.3. The service follows the same rule in a copy of its own."""
    name = host.lower().removesuffix(".")
    return name == "localhost" or name.endswith(".localhost")


class LoopbackResolver(AbstractResolver):
    """``localhost`` is 127.0.0.1, without a thread; any other name is looked up as usual."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if is_local_name(host):
            return [_address(host, "127.0.0.1", port)]
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        return [_address(host, str(entry[4][0]), port, entry[0]) for entry in found]

    async def close(self) -> None:
        """Nothing is held."""


def _address(host: str, ip: str, port: int, family: int = socket.AF_INET) -> ResolveResult:
    return ResolveResult(hostname=host, host=ip, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)


@dataclass(frozen=True, slots=True)
class Answer:
    """A peer's answer, whole."""

    url: str
    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    def json(self) -> Any:
        """The parsed body. Raises ``PeerFailed``: ``not_json``, or ``protocol`` for more values than anybody needs."""
        text = self.text()
        if is_crowded(text):
            message = f"the answer has more than {MAX_VALUES} values"
            raise PeerFailed("protocol", message, url=self.url, status=self.status, peer_code="too_large")
        try:
            return parse_json(text)
        except (ValueError, RecursionError):
            raise PeerFailed("not_json", "the answer is not JSON", url=self.url, status=self.status) from None

    def text(self) -> str:
        """The body as text. Raises ``PeerFailed`` (``not_json``)."""
        try:
            return self.body.decode("utf-8")
        except UnicodeDecodeError:
            raise PeerFailed("not_json", "the answer is not UTF-8", url=self.url, status=self.status) from None

    def expect_json(self, signer: str | None = None) -> Answer:
        """Itself when the request was granted and the answer says that it is JSON (RFC-AITP-0001, section 8)."""
        self.expect_ok(signer)
        if not is_json(self.headers.get("Content-Type", "")):
            raise PeerFailed("not_json", "the answer does not say that it is JSON", url=self.url, status=self.status)
        return self

    def expect_ok(self, signer: str | None = None) -> Answer:
        """Itself when the request was granted. Raises ``PeerFailed`` with the peer's own code otherwise.

        ``signer``: whose ``error`` envelope may say why; one of anybody else says nothing.
        """
        if 200 <= self.status < 300:
            return self
        error = _error(self.body, signer)
        kind = "http_5xx" if self.status >= 500 else "http_4xx" if self.status >= 400 else "protocol"
        message = f"the peer answered {self.status}" + (f" {error.code}" if error.code else "")
        raise PeerFailed(
            kind,  # type: ignore[arg-type]
            message,
            url=self.url,
            status=self.status,
            peer_code=error.code,
            retryable=error.retryable,
            reason=error.reason,
        )


class PeerClient:
    """The process's one HTTP session, opened at first use."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    def session(self) -> aiohttp.ClientSession:
        """The session; telemetry shares it."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=LoopbackResolver(), use_dns_cache=False, limit=512, limit_per_host=64
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=CALL_TIMEOUT, sock_connect=CONNECT_TIMEOUT),
                # What comes packed may be small and take long to unpack: it is counted as it came.
                headers={"User-Agent": "aitp-agent", "Accept-Encoding": "identity"},
                auto_decompress=False,
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, url: str, *, timeout: float = EXCHANGE_TIMEOUT, limit: int = MAX_DOCUMENT) -> Answer:
        """GET, any status, from the source: a cache's copy of a revocation list says too little."""
        return await self._request("GET", url, None, {"Cache-Control": "no-cache"}, timeout, limit)

    async def post(
        self,
        url: str,
        body: str,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float = EXCHANGE_TIMEOUT,
        limit: int = MAX_DOCUMENT,
    ) -> Answer:
        """POST a JSON text, any status."""
        return await self._request("POST", url, body, headers or {}, timeout, limit)

    async def _request(
        self, method: str, url: str, body: str | None, headers: Mapping[str, str], timeout: float, limit: int
    ) -> Answer:
        if body is not None:
            headers = {**headers, "Content-Type": "application/json"}
        with tracing.calling(method, url) as (trace, span):
            answer = await self._answer(method, url, body, {**headers, **trace}, timeout, limit)
            tracing.answered(span, answer.status)
            return answer

    async def _answer(
        self, method: str, url: str, body: str | None, headers: Mapping[str, str], timeout: float, limit: int
    ) -> Answer:
        try:
            async with (
                asyncio.timeout(timeout),
                self.session().request(
                    method,
                    url,
                    data=None if body is None else io.BytesIO(body.encode()),
                    headers=headers,
                    allow_redirects=False,
                ) as response,
            ):
                return Answer(url, response.status, await _read(response, url, limit), response.headers)
        except TimeoutError:
            raise PeerFailed("timeout", "the peer did not answer in time", url=url) from None
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, ConnectionResetError):
            raise PeerFailed("truncated", "the peer hung up", url=url) from None
        except (aiohttp.ClientConnectionError, OSError):
            raise PeerFailed("refused", "the peer could not be reached", url=url) from None
        except (aiohttp.ClientError, ValueError):
            raise PeerFailed("protocol", "the peer does not speak HTTP as it should", url=url) from None


async def _read(response: aiohttp.ClientResponse, url: str, limit: int) -> bytes:
    body = await read_bounded(response.content, limit)
    if body is None:
        raise PeerFailed("protocol", "the answer is too large", url=url, peer_code="too_large")
    return body


@dataclass(frozen=True, slots=True)
class _Error:
    """What an error says; each part None where it says nothing of the kind."""

    code: str | None = None
    retryable: bool | None = None
    reason: str | None = None


def _error(body: bytes, signer: str | None) -> _Error:
    """Read an error in either form: the binding's JSON body, or an ``error`` envelope (RFC-AITP-0001, section 5.6)."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return _Error()
    if not isinstance(document, dict):
        return _Error()
    if document.get("message_type") == "error":
        error = document.get("payload") if signer is not None and _is_signed(document, body, signer) else None
    else:
        error = document.get("error")
    if not isinstance(error, dict):
        return _Error()
    code, retryable, details = error.get("code"), error.get("retryable"), error.get("details")
    reason = details.get("reason") if isinstance(details, dict) else None
    return _Error(
        code=code[:100] if isinstance(code, str) else None,
        retryable=retryable if isinstance(retryable, bool) else None,
        reason=reason[:100] if isinstance(reason, str) else None,
    )


def _is_signed(envelope: dict[str, Any], body: bytes, signer: str) -> bool:
    sender = envelope.get("sender")
    aid = sender.get("agent_id") if isinstance(sender, dict) else None
    if not isinstance(aid, str) or not same_key(aid, signer):
        return False
    try:
        aitp.verify_envelope(body.decode(), aid)
    except (ValueError, RuntimeError):
        return False
    return True
