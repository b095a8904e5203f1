"""All tables. Each resource declares its own as ``TABLES``."""

from __future__ import annotations

from aitp_playground.control_plane.console import audit
from aitp_playground.control_plane.events import storing
from aitp_playground.control_plane.middlewares import idempotency
from aitp_playground.control_plane.projections import projecting
from aitp_playground.control_plane.registry import agents, enrolment
from aitp_playground.control_plane.trust import anchors, pinned_keys, revocations
from aitp_playground.control_plane.webhooks import deliveries, subscriptions

SCHEMA: tuple[str, ...] = (
    *audit.TABLES,
    *deliveries.TABLES,
    *enrolment.TABLES,
    *storing.TABLES,
    *idempotency.TABLES,
    *pinned_keys.TABLES,
    *projecting.TABLES,
    *agents.TABLES,
    *revocations.TABLES,
    *anchors.TABLES,
    *subscriptions.TABLES,
)
