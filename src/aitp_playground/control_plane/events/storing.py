"""Storing events, with all that follows from them in one transaction: projections and webhook deliveries."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aitp_playground.control_plane.events import rows
from aitp_playground.control_plane.events.reported import ReportedEvent, read_event
from aitp_playground.control_plane.projections.projecting import project
from aitp_playground.control_plane.webhooks import deliveries

#: The source of the events that the Control Plane makes itself.
OWN: Final = "cp"

TABLES: tuple[str, ...] = rows.TABLES


def insert(connection: sqlite3.Connection, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Store one event of the service's own making; returns it as streams show it, to be published after the commit."""
    now = time.time()
    return store(connection, [read_event(raw, now)], now)[0]


def store(connection: sqlite3.Connection, events: Sequence[ReportedEvent], now: float) -> list[dict[str, Any]]:
    """Store events that came in at ``now`` (epoch seconds), in their order; returns them as streams show them."""
    rows.add(connection, events)
    for event in events:
        project(connection, event)
    frames = [event.frame() for event in events]
    deliveries.enqueue(connection, frames, now)
    return frames
