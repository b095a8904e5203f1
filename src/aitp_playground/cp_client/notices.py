"""Saying a trouble once: an outage is one line in the log, however many calls it meets."""

from __future__ import annotations

import structlog

from aitp_playground.cp_client.reasons import Outcome, Reason

_log = structlog.get_logger(__name__)


class Notices:
    """Remembers how each operation last failed; a class is said when no operation was failing that way before."""

    def __init__(self) -> None:
        self._failing: dict[str, Reason] = {}

    @property
    def reason(self) -> Reason | None:
        """The latest trouble that is not over; None when every operation last tried went well."""
        return next(reversed(self._failing.values()), None)

    def note(self, operation: str, outcome: Outcome[object]) -> None:
        """Take in how a call of ``operation`` ended."""
        reason = outcome.reason
        if reason is None:
            if self._failing.pop(operation, None) is not None and not self._failing:
                _log.info("cp_client.recovered", operation=operation)
            return
        known = reason in self._failing.values()
        if self._failing.get(operation) != reason:
            self._failing.pop(operation, None)
            self._failing[operation] = reason
        if not known:
            _log.warning(
                "cp_client.degraded", operation=operation, reason=reason, status=outcome.status, detail=outcome.detail
            )

    def forget(self) -> None:
        """The Control Plane is back: what failed before says nothing about it any more."""
        self._failing.clear()
