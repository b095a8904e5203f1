"""Metrics whose value somebody else holds: it is read where the truth is whenever the metrics are rendered."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal, get_args

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Fed = Literal[
    "runs_pending",
    "runs_pending_limit",
    "runs_running",
    "runs_running_limit",
    "agents_live",
    "store_queued_events",
    "store_last_commit_seconds",
    "store_writable",
    "disk_free_bytes",
    "disk_size_bytes",
    "cp_ingest_runs_waiting",
    "cp_ingest_lag_seconds",
    "cp_breaker_open",
    "loop_lag_seconds",
    "log_lines_dropped",
]
#: ``state`` is STATE_DIR; ``history`` the directory of RUN_HISTORY_DB when that is another one.
Directory = Literal["state", "history"]
Read = Callable[[], float]

_HELP: dict[Fed, str] = {
    "runs_pending": "Runs that wait for a place",
    "runs_pending_limit": "How many may",
    "runs_running": "Runs that are going on",
    "runs_running_limit": "How many may",
    "agents_live": "Agent processes alive",
    "store_queued_events": "Events handed to the store and not yet on disk",
    "store_last_commit_seconds": "How long the store's latest commit took; the one under way when that is longer",
    "store_writable": "Whether the latest commit succeeded, 1 or 0; 0 for good once the database is damaged",
    "disk_free_bytes": "Room on the disk with this directory",
    "disk_size_bytes": "Size of the disk with this directory",
    "cp_ingest_runs_waiting": "Runs the Control Plane does not have all events of",
    "cp_ingest_lag_seconds": "How long the longest-waiting of them has waited",
    "cp_breaker_open": "Whether the Control Plane is left alone because it did not answer, 1 or 0",
    "loop_lag_seconds": "How late the event loop was at worst in the last half minute",
    "log_lines_dropped": "Lines of the log that nobody took in time",
}
_COUNTERS: frozenset[Fed] = frozenset({"log_lines_dropped"})
#: Label → its values, for those that have one.
_LABELS: dict[Fed, tuple[str, tuple[str, ...]]] = {
    "disk_free_bytes": ("directory", get_args(Directory)),
    "disk_size_bytes": ("directory", get_args(Directory)),
}


class FedMetrics(Collector):
    """Those of one registry; 0 as long as nobody feeds them."""

    def __init__(self, registry: CollectorRegistry, prefix: str) -> None:
        self._prefix = prefix
        self._reads: dict[tuple[Fed, str], Read] = {
            (name, value): float for name in _HELP for value in _LABELS.get(name, ("", ("",)))[1]
        }
        registry.register(self)

    def feed(self, name: Fed, read: Read, directory: Directory | Literal[""] = "") -> None:
        """Have ``read`` say the value from now on; one that fails reads as NaN. It must be quick."""
        if (name, directory) not in self._reads:
            raise ValueError(f"{name} has no series for the directory {directory!r}")
        self._reads[name, directory] = read

    def value(self, name: Fed) -> float:
        """What it is now, of one without directories; NaN when its source fails."""
        return _guarded(self._reads[name, ""])

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        for name, text in _HELP.items():
            label, values = _LABELS.get(name, ("", ("",)))
            kind = CounterMetricFamily if name in _COUNTERS else GaugeMetricFamily
            family = kind(f"{self._prefix}{name}", text, labels=[label] if label else [])
            for value in values:
                family.add_metric([value] if label else [], _guarded(self._reads[name, value]))
            yield family


def _guarded(read: Read) -> float:
    try:
        return float(read())
    except Exception:  # noqa: BLE001 - one broken source must not hide all the others
        return math.nan
