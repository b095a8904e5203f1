"""The registry of agents."""

from __future__ import annotations

from aitp_playground.cp_client import arguments
from aitp_playground.cp_client.answers import Row
from aitp_playground.cp_client.calls.requests import Requests, no_rows, when_disabled
from aitp_playground.cp_client.degrading import degrades
from aitp_playground.cp_client.reasons import unfit
from aitp_playground.cp_client.transport import segment


class RegistryCalls(Requests):
    """Discovery, and leaving the registry."""

    @degrades(no_rows)
    async def discover_by_capability(
        self, capability: str, *, include_manifest: bool = False, limit: int | None = None
    ) -> list[Row]:
        """Who claims to offer ``capability``, first registered first. Some may be dead, some forged.

        ``include_manifest`` adds ``manifestJson``, the signed text by which to tell them.
        """
        if not capability:
            raise unfit("an empty capability would list every agent")
        return await self._rows(
            "/api/registry/agents",
            "agents",
            arguments.query(capability=capability, include_manifest=include_manifest, limit=limit),
            public=True,
        )

    @degrades(when_disabled)
    async def deregister_agent(self, aid: str) -> bool:
        """True when the registry offers the agent to nobody any more, or never did."""
        return await self._removed(f"/api/registry/agents/{segment(aid)}")
