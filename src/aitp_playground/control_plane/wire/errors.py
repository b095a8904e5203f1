"""How a request fails: told so in JSON, or with an empty 500."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Refused(Exception):
    """Answered with ``status``, ``{"error", "code", **extra}`` and ``headers``."""

    def __init__(
        self, status: int, error: str, code: str, *, headers: Mapping[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(error)
        self.status = status
        self.headers = headers
        self.body = {"error": error, "code": code, **extra}


class Unparseable(Refused):
    """The body is no JSON at all; no answer to it is kept for its ``Idempotency-Key``."""


class Broken(Exception):
    """Answered with an empty 500, as a Control Plane answers whatever its database refuses."""
