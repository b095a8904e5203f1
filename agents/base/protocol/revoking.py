"""Revoking what this agent issued: a token, those it replaced, and everything that was made from them."""

from __future__ import annotations

import time
from typing import Any

from base.protocol.revocation import RevocationState
from base.protocol.tokens import TokenBook
from base.refusals import Fault
from base.telemetry import Telemetry


class Revoker:
    """The issuer's side of a revocation."""

    def __init__(self, tokens: TokenBook, revocations: RevocationState, telemetry: Telemetry) -> None:
        self._tokens = tokens
        self._revocations = revocations
        self._telemetry = telemetry

    def revoke(self, agent_id: str, reason: str | None, *, local: bool) -> dict[str, Any]:
        """Revoke the newest token issued to that agent and every live one that falls with it.

        ``{"revoked_jti", "also_revoked"}``. Without ``local`` it only names them, so that somebody else can revoke
        them. Raises 409 ``no_tct_issued``.
        """
        token = next(self._tokens.issued.of_agent(agent_id), None)
        if token is None:
            raise Fault(409, "no_tct_issued", f"no token was issued to {agent_id[:100]}")
        ends = self._tokens.own()
        also = [jti for jti in self._revocations.lineage.family(token.jti) if self._is_live(jti)]
        if local:
            self._revocations.revoke(token.jti, reason, expires_at=ends.get(token.jti.lower()))
            self._report(token.jti, reason)
            for jti in also:
                if self._revocations.revoke(jti, reason, because="lineage", expires_at=ends.get(jti)):
                    self._report(jti, reason, source="lineage", root_jti=token.jti)
        return {"revoked_jti": token.jti, "also_revoked": also}

    def _is_live(self, jti: str) -> bool:
        token = self._tokens.issued.with_jti(jti)
        return token is None or token.claims["exp"] >= time.time()

    def _report(self, jti: str, reason: str | None, **fields: Any) -> None:
        holder = self._tokens.issued.with_jti(jti)
        self._telemetry.emit(
            "tct.revoked",
            jti=jti,
            aid=holder and holder.peer_aid,
            target=holder and holder.agent_id,
            reason=reason,
            **fields,
        )
