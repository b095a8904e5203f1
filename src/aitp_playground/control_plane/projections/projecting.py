"""Which events change sessions, TCTs and delegations. All other types are only stored."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from aitp_playground.control_plane.events.reported import ReportedEvent
from aitp_playground.control_plane.projections import delegations, sessions, tcts
from aitp_playground.control_plane.projections.claims import jti_of

TABLES: tuple[str, ...] = (*sessions.TABLES, *tcts.TABLES, *delegations.TABLES)
ROUTES = (*sessions.ROUTES, *tcts.ROUTES, *delegations.ROUTES)


def project(connection: sqlite3.Connection, event: ReportedEvent) -> None:
    """Apply one event; events must come in their order of arrival."""
    for apply in _APPLIED.get(event.type, ()):
        apply(connection, event)


def _tct_revoked(connection: sqlite3.Connection, event: ReportedEvent) -> None:
    jti = jti_of(event.field("jti"))
    if jti is not None:
        tcts.revoke(connection, jti, event.ts)
        delegations.revoke_below(connection, jti, event.ts)


def _delegation_revoked(connection: sqlite3.Connection, event: ReportedEvent) -> None:
    jti = jti_of(event.field("jti"))
    if jti is not None:
        delegations.revoke(connection, jti, event.ts)


_APPLIED: dict[str, tuple[Callable[[sqlite3.Connection, ReportedEvent], None], ...]] = {
    "handshake.started": (sessions.started,),
    "handshake.complete": (sessions.complete, tcts.issued),
    "handshake.failed": (sessions.failed,),
    "tct.issued": (tcts.issued,),
    "tct.revoked": (_tct_revoked,),
    "delegation.issued": (delegations.issued,),
    "delegation.revoked": (_delegation_revoked,),
}
