"""The trace of a run (W3C Trace Context): who called whom, and how long it took.

The service's commands and the calls of peers bring a ``traceparent``; calls made for them take it along. Where it says
that the trace is sampled, what is served and what is called become spans, which go to the service with the telemetry:
an agent exports nothing itself. A trace other than this run's is nothing to an agent.

Attributes follow the semantic conventions of OpenTelemetry (``http.*``, ``server.*``, ``url.*``, ``gen_ai.*``).
"""

from __future__ import annotations

import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from aiohttp import web

HEADER: Final = "traceparent"
#: Spans that wait to be handed in; of more the oldest are lost.
MAX_SPANS: Final = 2_000
_FORM: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_NOBODY: Final = "0" * 16
_PART: Final = re.compile(r"\{\w+\}")
_WORD: Final = re.compile(r"[a-z-]{1,40}")

Kind = Literal["server", "client", "internal"]


@dataclass(slots=True)
class Span:
    """A piece of work. Times are nanoseconds since 1970."""

    name: str
    kind: Kind
    span_id: str
    parent_id: str
    start: int
    attributes: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    end: int = 0

    def told(self) -> dict[str, Any]:
        """As the service takes it."""
        told = {
            "name": self.name,
            "kind": self.kind,
            "span_id": self.span_id,
            "parent_id": self.parent_id,
            "start": self.start,
            "end": self.end,
            "attributes": self.attributes,
        }
        return told if self.error is None else told | {"error": self.error}


class Tracer:
    """The spans of one agent of one run. ``aid``: what it is called now."""

    def __init__(self, run_id: str, aid: Callable[[], str]) -> None:
        self._trace_id = run_id.replace("-", "")
        self._aid = aid
        self._waiting: deque[Span] = deque()
        #: How many there were, and of how many nothing is to be done any more.
        self.made = 0
        self.settled = 0

    def take(self, most: int) -> list[Span]:
        """The oldest spans, which are handed in now; :meth:`settle` or :meth:`give_back` says how that went."""
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def settle(self, spans: list[Span]) -> None:
        """They were handed in, or never will be."""
        self.settled += len(spans)

    def give_back(self, spans: list[Span]) -> None:
        """They were not taken now."""
        self._waiting.extendleft(reversed(spans))
        self._keep_most()

    def _keep(self, span: Span) -> None:
        self.made += 1
        self._waiting.append(span)
        self._keep_most()

    def _keep_most(self) -> None:
        while len(self._waiting) > MAX_SPANS:
            self._waiting.popleft()
            self.settled += 1

    @contextmanager
    def serving(self, request: web.Request) -> Iterator[Span | None]:
        """What a request asks for: from now on, in its context, calls belong to it. None where nobody wants a span."""
        text = request.headers.get(HEADER, "")
        found = _FORM.fullmatch(text) if text else None
        if found is None or found[1] != self._trace_id or found[2] == _NOBODY:
            _current.set(None)
            yield None
            return
        if not int(found[3], 16) & 1:
            _current.set(_Current(self, found[2], sampled=False))
            yield None
            return
        resource = request.match_info.route.resource
        route = None if resource is None else resource.canonical
        attributes = {"http.request.method": request.method, "url.path": request.path[:200], "url.scheme": "http"}
        if route is not None:
            attributes["http.route"] = route
        if name := request.match_info.get("name"):
            attributes["aitp.capability"] = name[:128]
        # The parts of these two routes are words of ours, and few.
        named = request.match_info.get("action") or request.match_info.get("message") or ""
        shown = _PART.sub(named, route or "unknown", count=1) if _WORD.fullmatch(named) else route or "unknown"
        with self._measured(f"{request.method} {shown}", "server", found[2], attributes) as span:
            yield span

    @contextmanager
    def _measured(self, name: str, kind: Kind, parent_id: str, attributes: dict[str, Any]) -> Iterator[Span]:
        span = Span(name, kind, secrets.token_hex(8), parent_id, time.time_ns(), attributes)
        begun = time.monotonic_ns()
        token = _current.set(_Current(self, span.span_id, sampled=True))
        try:
            yield span
        except BaseException as error:
            span.error = span.error or type(error).__name__
            raise
        finally:
            _current.reset(token)
            span.end = span.start + time.monotonic_ns() - begun
            span.attributes["gen_ai.agent.id"] = self._aid()
            self._keep(span)


@dataclass(frozen=True, slots=True)
class _Current:
    tracer: Tracer
    span_id: str
    sampled: bool

    def header(self) -> dict[str, str]:
        return {HEADER: f"00-{self.tracer._trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"}


_current: ContextVar[_Current | None] = ContextVar("trace", default=None)


@contextmanager
def calling(method: str, url: str) -> Iterator[tuple[Mapping[str, str], Span | None]]:
    """A request that is made: the headers that it takes along, and its span where one is wanted."""
    current = _current.get()
    if current is None:
        yield {}, None
        return
    if not current.sampled:
        yield current.header(), None
        return
    address = urlsplit(url)
    attributes: dict[str, Any] = {"http.request.method": method, "url.full": url[:300]}
    attributes["server.address"] = address.hostname or ""
    if address.port is not None:
        attributes["server.port"] = address.port
    with current.tracer._measured(method, "client", current.span_id, attributes) as span:
        inner = _current.get()
        assert inner is not None
        yield inner.header(), span


@contextmanager
def asking_model(provider: str, model: str) -> Iterator[Span | None]:
    """A question to a language model. Its server is another's: no header goes along."""
    current = _current.get()
    if current is None or not current.sampled:
        yield None
        return
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": provider, "gen_ai.request.model": model}
    with current.tracer._measured(f"chat {model}", "client", current.span_id, attributes) as span:
        yield span


def answered(span: Span | None, status: int) -> None:
    """The status that a request got. From 400 on the caller's call failed; what was served failed from 500 on."""
    if span is None:
        return
    span.attributes["http.response.status_code"] = status
    if status >= (500 if span.kind == "server" else 400):
        span.error = str(status)
