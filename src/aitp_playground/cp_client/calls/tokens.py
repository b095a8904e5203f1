"""TCTs and delegations, as reported."""

from __future__ import annotations

import time

from aitp_playground.cp_client import arguments
from aitp_playground.cp_client.answers import Row
from aitp_playground.cp_client.calls.requests import Requests, no_rows
from aitp_playground.cp_client.degrading import degrades


class TokenCalls(Requests):
    """What the Control Plane knows of tokens; it verified none of it."""

    @degrades(no_rows)
    async def fetch_tcts(
        self,
        *,
        issuer: str | None = None,
        subject: str | None = None,
        audience: str | None = None,
        capability: str | None = None,
        session_id: str | None = None,
        active: bool | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[Row]:
        """Tokens as reported by whoever ingested them, newest first. ``active`` filters if True, and only then."""
        filters = arguments.query(
            issuer=issuer,
            subject=subject,
            audience=audience,
            capability=capability,
            sessionId=session_id,
            active=active,
            limit=limit,
            offset=offset,
        )
        return await self._rows("/api/tcts", "tcts", filters)

    @degrades(no_rows)
    async def fetch_delegations(
        self,
        *,
        root_jti: str | None = None,
        parent_jti: str | None = None,
        delegator: str | None = None,
        delegatee: str | None = None,
        active: bool | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[Row]:
        """Delegations as reported. ``root_jti`` is the jti of a delegation, never of a TCT.

        The route forgets its other filters beside ``root_jti``, so they are applied again here.
        """
        filters = arguments.query(
            root_jti=root_jti,
            parent_jti=parent_jti,
            delegator=delegator,
            delegatee=delegatee,
            active=active,
            limit=limit,
            offset=offset,
        )
        found = await self._rows("/api/delegations", "delegations", filters)
        if not root_jti:
            return found
        fitting = arguments.matching(found, parentJti=parent_jti, delegator=delegator, delegatee=delegatee)
        now = time.time()
        kept = [row for row in fitting if not active or arguments.is_active(row, now)]
        return kept[offset or 0 :][:limit]
