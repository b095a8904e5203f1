"""Workers on their own, for those who come to their ports uninvited."""

from __future__ import annotations

from tests.integration.agents.conftest import http, make, sink, start

__all__ = ["http", "make", "sink", "start"]
