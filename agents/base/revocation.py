"""Which tokens are no longer good, and who said so.

Today: what this agent revoked itself, and its own signed list. Lists of other issuers and of the Control Plane join in
:meth:`RevocationState.source_of` under their own source names; they add, and never clear what is local.
"""

from __future__ import annotations

import time
from typing import Any

from base.bootstrap import RevocationConfig
from base.identity import Identity
from base.refusals import Refusal, Source

LIST_TTL = 300


class RevocationState:
    """The deny set consulted on every verification."""

    def __init__(self, config: RevocationConfig, *, has_control_plane: bool) -> None:
        self._config = config
        self._has_control_plane = has_control_plane
        self._local: dict[str, dict[str, Any]] = {}
        self._list_fresh_at: float | None = None
        self._signed: tuple[str, float] | None = None

    def revoke(self, jti: str, reason: str | None = None) -> None:
        """Add to this agent's own list. Idempotent: the first time and reason stay."""
        entry: dict[str, Any] = {"jti": jti.lower(), "revoked_at": int(time.time())}
        if reason:
            entry["reason"] = reason
        self._local.setdefault(entry["jti"], entry)
        self._signed = None

    def source_of(self, jti: str) -> Source | None:
        """Who revoked it; None when nobody did."""
        return "local" if jti.lower() in self._local else None

    def deny(self, jti: str) -> set[str]:
        """The deny set to hand to the SDK for a token with this jti: itself, or nothing.

        The SDK parses the set on every call, so handing it thousands of entries would cost milliseconds each time.
        """
        return {jti} if self.source_of(jti) else set()

    def require_fresh(self) -> None:
        """Under ``fail_closed`` with a Control Plane, refuse while there is no fresh list of its."""
        if self._config.fail_mode != "fail_closed" or not self._has_control_plane:
            return
        fresh_at = self._list_fresh_at
        if fresh_at is None or time.monotonic() - fresh_at > self._config.max_staleness_secs:
            raise Refusal("revocation_unknown", "no fresh revocation list, and this agent fails closed")

    def signed_list(self, identity: Identity) -> str:
        """This agent's own list, signed; the same document until it changes or is half-way to its end."""
        now = time.monotonic()
        if self._signed is None or now >= self._signed[1]:
            agent = identity.serving.agent()
            signed = agent.sign_revocation_list(list(self._local.values()), expires_in_secs=LIST_TTL)
            self._signed = (signed, now + LIST_TTL / 2)
        return self._signed[0]
