"""One HTTP exchange with the Control Plane. Whatever goes wrong on the wire becomes one reason class."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

from aitp_playground.cp_client.reasons import Degraded, Reason, unfit
from aitp_playground.errors import ConfigurationError
from aitp_playground.net import BodyTooLong, read_bounded
from aitp_playground.observability import trace_context

MAX_BODY: Final = 8 * 1024 * 1024
_LONGEST_RETRY_AFTER: Final = 3600


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx."""

    status: int
    body: bytes


class Transport:
    """Sends requests to one Control Plane. It bounds the body, and leaves time to its caller.

    Raises ``ConfigurationError`` for a base URL or a key that cannot work.
    """

    def __init__(self, http: aiohttp.ClientSession, base_url: str, api_key: str) -> None:
        self._http = http
        self.base_url = normalise(base_url)
        self._bearer = {"Authorization": f"Bearer {_printable(api_key)}"} if api_key.strip() else {}

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        public: bool = False,
        read: bool = True,
    ) -> Answer:
        """Send and take the answer; ``read=False`` leaves its body alone. Raises :class:`Degraded` for all but a 2xx.

        ``path`` is percent-encoded already, ``query`` is not.
        """
        all_headers = {**trace_context.headers(), **({} if public else self._bearer), **(headers or {})}
        if body is not None:
            all_headers["Content-Type"] = "application/json"
        try:
            async with self._http.request(
                method,
                self._url(path, query or {}),
                data=body,
                headers=all_headers,
                allow_redirects=False,
                raise_for_status=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            ) as response:
                refuse_status(response.status, response.headers)
                return Answer(response.status, await read_bounded(response, MAX_BODY) if read else b"")
        except (aiohttp.ClientError, OSError) as failure:
            raise _wire_failure(failure) from None

    def _url(self, path: str, query: Mapping[str, str]) -> URL:
        for value in query.values():
            _encodable(value)  # yarl drops what it cannot encode, and a filter that became empty finds everything
        return URL(self.base_url + path, encoded=True).with_query(query)


def normalise(base_url: str) -> str:
    """Where paths begin: without a trailing slash and without the ``/api`` that all but the public documents share.

    Raises ``ConfigurationError`` for a URL that carries more than an address.
    """
    parts = urlsplit(base_url)
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ConfigurationError(
            "CP_BASE_URL: only scheme, host, port and path may be given; the key belongs into CP_API_KEY"
        )
    return base_url.rstrip("/").removesuffix("/api").rstrip("/")


def segment(text: str) -> str:
    """``text`` as one path segment. Raises :class:`Degraded` for one that would lead to another route."""
    if text in {"", ".", ".."}:
        raise unfit(f"{text!r} cannot be an id")
    _encodable(text)
    return quote(text, safe="")


def refuse_status(status: int, headers: Mapping[str, str]) -> None:
    """Raise :class:`Degraded` for all but a 2xx."""
    if 200 <= status < 300:
        return
    retry_after = headers.get("Retry-After", "")
    wait = min(int(retry_after), _LONGEST_RETRY_AFTER) if retry_after.isdecimal() and len(retry_after) < 10 else None
    # 307 and 308 (RFC 9110, section 15.4) promise that nothing was done here; 303 says the opposite.
    sent = status not in {307, 308}
    raise Degraded(_status_class(status), f"answered {status}", status=status, retry_after=wait, sent=sent)


def _encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise unfit("a lone surrogate cannot be part of a URL") from None


def _status_class(status: int) -> Reason:
    if status == 401:
        return "unauthorized"
    if status == 429:
        return "rate_limited"
    if 300 <= status < 400:
        return "redirect"
    return "http_4xx" if 400 <= status < 500 else "http_5xx"


def _wire_failure(failure: Exception) -> Degraded:
    """The class of a failed exchange. Messages are not passed on: some quote what the peer sent."""
    name = type(failure).__name__
    match failure:
        case BodyTooLong():
            return Degraded("too_large", f"the body is longer than {MAX_BODY} bytes")
        case aiohttp.ClientConnectorDNSError() | socket.gaierror():
            return Degraded("dns", "the host name cannot be resolved", sent=False)
        case aiohttp.ClientConnectorError(os_error=TimeoutError()):
            return Degraded("timeout", "the connection was not taken in time", sent=False)
        case aiohttp.ClientConnectorError() | ConnectionRefusedError():
            return Degraded("refused", f"no connection ({name})", sent=False)
        case TimeoutError():
            return Degraded("timeout", f"no answer in time ({name})")
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError() | OSError():
            return Degraded("truncated", f"the connection broke off ({name})")
        case aiohttp.ClientConnectionError():
            return Degraded("refused", f"no connection ({name})")
        case _:
            return Degraded("bad_shape", f"the answer is not HTTP ({name})")


def _printable(api_key: str) -> str:
    key = api_key.strip()
    if not key.isascii() or not key.isprintable():
        raise ConfigurationError("CP_API_KEY: it holds characters that cannot travel in an HTTP header")
    return key
