"""What the Control Plane counts for ``/api/metrics``."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Counters:
    """Names start with ``aitp_cp_``; labels are bounded by the routes there are."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "aitp_cp_http_requests", "Requests answered", ("method", "route", "status_class"), registry=self._registry
        )
        self._events = Counter("aitp_cp_events", "Events stored", registry=self._registry)

    def request(self, method: str, route: str, status: int) -> None:
        """``route`` is the router's template, never the path that was asked for."""
        self._requests.labels(method, route, f"{status // 100}xx").inc()

    def events(self, count: int) -> None:
        """So many events went into the store."""
        self._events.inc(count)

    def render(self) -> bytes:
        """The Prometheus text form."""
        return generate_latest(self._registry)
