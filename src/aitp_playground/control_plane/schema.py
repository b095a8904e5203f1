"""All tables. Each resource declares its own as ``TABLES``."""

from __future__ import annotations

from aitp_playground.control_plane import (
    audit,
    deliveries,
    enrollment,
    events,
    idempotency,
    pinned_keys,
    projections,
    registry,
    revocation,
    trust_anchors,
    webhooks,
)

SCHEMA: tuple[str, ...] = (
    *audit.TABLES,
    *deliveries.TABLES,
    *enrollment.TABLES,
    *events.TABLES,
    *idempotency.TABLES,
    *pinned_keys.TABLES,
    *projections.TABLES,
    *registry.TABLES,
    *revocation.TABLES,
    *trust_anchors.TABLES,
    *webhooks.TABLES,
)
