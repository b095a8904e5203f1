"""Requests that are refused before anything is known of them, in the agent's own log: no event tells of these.

Events are about agents and tokens. A body that is no JSON, or too large, and an admin request without its token are
about neither.
"""

from __future__ import annotations

import sys

from aiohttp import web

from base.refusals import Fault, Flooded, PeerFailed, Refusal
from base.telemetry import Allowance

#: Lines at once, and in a second: whoever reaches the port can cause them.
LINES_AT_ONCE, LINES_PER_SECOND = 50, 1.0
_TOLD_BY_EVENTS = (Refusal, Flooded, PeerFailed)


class TurnedAway:
    """Writes a line with the reason class for each, or says later how many there were."""

    def __init__(self) -> None:
        self._allowance = Allowance(LINES_AT_ONCE, LINES_PER_SECOND)
        self._untold = 0

    def note(self, request: web.Request, fault: Fault) -> None:
        """``refused POST /capabilities/{name}: 413 payload_too_large``, and nothing of what was sent."""
        hung_up = request.content.exception() is not None
        if hung_up or isinstance(fault, _TOLD_BY_EVENTS):
            return
        if not self._allowance.take():
            self._untold += 1
            return
        before = f" (and {self._untold} before it)" if self._untold else ""
        self._untold = 0
        resource = request.match_info.route.resource
        path = resource.canonical if resource else "nowhere"
        sys.stderr.write(f"refused {request.method[:10]} {path}: {fault.status} {fault.code}{before}\n")
        sys.stderr.flush()
