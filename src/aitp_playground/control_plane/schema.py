"""All tables. Each resource declares its own as ``TABLES``."""

from __future__ import annotations

from aitp_playground.control_plane import (
    audit,
    idempotency,
    registry,
    revocation,
    trust,
)

SCHEMA: tuple[str, ...] = (
    *audit.TABLES,
    *idempotency.TABLES,
    *registry.TABLES,
    *revocation.TABLES,
    *trust.TABLES,
)
