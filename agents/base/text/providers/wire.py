"""What the providers' packages may do on the wire: ask one server, with one key, for an answer that is bounded.

The packages read the environment (further headers, accounts), follow redirects and read whole bodies. All they send
passes through :class:`Wire`, which alone holds the key and lets through only what is named here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpcore2
import httpx2

from base.text.rewording import LlmError

#: Bytes of an answer: the tokens that are asked for fit several times, and reading it never holds the loop for long.
MAX_BODY: Final = 256 << 10
#: Bytes of what comes with a refusal; the rest is not read.
MAX_REFUSAL: Final = 16 << 10
#: Bytes that are read at one go.
PIECE: Final = 4 << 10
CONNECT_TIMEOUT: Final = 5.0
#: What the packages take for a key; none that the user has gets into their hands.
NO_KEY: Final = "held-by-the-wire"
_SENT = frozenset({"host", "content-type", "content-length", "accept", "anthropic-version"})
_HEARD = frozenset({"retry-after", "retry-after-ms", "x-should-retry"})
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,64}/[A-Za-z0-9!#$&^_.+-]{1,64}")
_NUMBER = re.compile(r"\d{1,12}(?:\.\d{1,6})?")


class Oversized(httpx2.TransportError):
    """An answer has more than ``MAX_BODY`` bytes; the rest is not read."""


class Wire(httpx2.AsyncBaseTransport):
    """The only way out: no proxy, no cookie, no header but the named ones and ``key_header``, bodies bounded.

    A packed body is not unpacked: what is small on the way may be huge after it.
    """

    def __init__(self, key_header: Mapping[str, str]) -> None:
        self._key_header = dict(key_header)
        self._inner = _Transport(trust_env=False, retries=0)

    def __repr__(self) -> str:
        return "<Wire>"

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        sent = {name: value for name, value in request.headers.items() if name.lower() in _SENT}
        fixed = {"User-Agent": "aitp-agent", "Accept-Encoding": "identity"}
        # A request of its own: errors of the packages hold theirs, and so not the key.
        asked = httpx2.Request(
            request.method,
            request.url,
            headers={**sent, **fixed, **self._key_header},
            stream=request.stream,
            extensions=request.extensions,
        )
        answer = await self._inner.handle_async_request(asked)
        assert isinstance(answer.stream, httpx2.AsyncByteStream)
        # Without a Location there is nowhere to be redirected to.
        heard = {name: value for name, value in answer.headers.items() if name.lower() in _HEARD}
        # The packages read a refusal's text as it says that it is encoded, by any codec of Python's, bz2 among them.
        heard["content-type"] = f"{_media_type(answer.headers.get('content-type', ''))}; charset=utf-8"
        stream = _Bounded(answer.stream, whole=answer.status_code == 200)
        return httpx2.Response(answer.status_code, headers=heard, stream=stream, extensions=answer.extensions)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Transport(httpx2.AsyncHTTPTransport):
    """One that reads in small pieces: what a piece holds (interim answers, most of all) is taken in at one go."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Its pool is made without a word to say in it.
        self._pool._network_backend = _InPieces(self._pool._network_backend)


class _InPieces(httpcore2.AsyncNetworkBackend):
    def __init__(self, inner: httpcore2.AsyncNetworkBackend) -> None:
        self._inner = inner

    async def connect_tcp(self, *where: Any, **options: Any) -> httpcore2.AsyncNetworkStream:
        return _Pieces(await self._inner.connect_tcp(*where, **options))

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class _Pieces(httpcore2.AsyncNetworkStream):
    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        self._inner = inner

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(min(max_bytes, PIECE), timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)

    async def start_tls(self, *how: Any, **options: Any) -> httpcore2.AsyncNetworkStream:
        return _Pieces(await self._inner.start_tls(*how, **options))

    async def aclose(self) -> None:
        await self._inner.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _media_type(text: str) -> str:
    kind = text.partition(";")[0].strip()
    return kind if _MEDIA_TYPE.fullmatch(kind) else "application/octet-stream"


class _Bounded(httpx2.AsyncByteStream):
    """``whole``: too much is an error; else it is left out."""

    def __init__(self, stream: httpx2.AsyncByteStream, *, whole: bool) -> None:
        self._stream = stream
        self._whole = whole

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_BODY if self._whole else MAX_REFUSAL
        async for chunk in self._stream:
            if len(chunk) > left and self._whole:
                raise Oversized(f"the answer has more than {MAX_BODY} bytes")
            yield chunk[:left]
            left -= len(chunk)
            if left < 0:
                return

    async def aclose(self) -> None:
        await self._stream.aclose()


def http_client(key_header: Mapping[str, str]) -> httpx2.AsyncClient:
    """A client for one of the packages. Reads certificates: not for the event loop."""
    # What the packages log on demand of OPENAI_LOG and the like holds prompts.
    for name in ("openai", "anthropic", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # The time for the whole is up to the caller.
    timeout = httpx2.Timeout(None, connect=CONNECT_TIMEOUT)
    return httpx2.AsyncClient(transport=Wire(key_header), trust_env=False, follow_redirects=False, timeout=timeout)


def refusal(response: httpx2.Response) -> LlmError:
    """The failure that a status other than 200 means, and how long the provider asks to be left alone."""
    status, headers = response.status_code, response.headers
    if status == 429 or status >= 500:
        reason = "rate_limited" if status == 429 else "http_5xx"
        passing = headers.get("x-should-retry") != "false"
        return LlmError(reason, status, passing=passing, retry_after=retry_after(headers, datetime.now(UTC)))
    if status in (401, 403):
        return LlmError("unauthorized", status)
    return LlmError("redirect" if status < 400 else "http_4xx", status)


def failure(error: Exception) -> LlmError:
    """What kept an answer from coming, by what lies beneath a package's own error."""
    for cause in _causes(error):
        match cause:
            case LlmError():
                return cause
            case Oversized():
                return LlmError("too_large")
            case httpx2.TimeoutException():
                return LlmError("timeout")
            case httpx2.ConnectError():
                return LlmError("refused")
            case httpx2.NetworkError() | httpx2.RemoteProtocolError():
                return LlmError("cut")
            case _:
                continue
    return LlmError("refused")


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait: ``retry-after-ms``, or Retry-After (RFC 9110, section 10.2.3) as seconds or date; else None."""
    if (ms := headers.get("retry-after-ms", "").strip()) and _NUMBER.fullmatch(ms):
        return float(ms) / 1000
    value = headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(value):
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
