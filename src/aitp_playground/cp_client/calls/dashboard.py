"""Key figures."""

from __future__ import annotations

from aitp_playground.cp_client.answers import Row, record
from aitp_playground.cp_client.calls.requests import Requests, no_record, no_rows
from aitp_playground.cp_client.degrading import degrades


class DashboardCalls(Requests):
    """Figures over everything the Control Plane has."""

    @degrades(no_record)
    async def fetch_dashboard_overview(self, window: str = "24h") -> Row:
        """Key figures of ``1h``, ``24h``, ``7d`` or ``30d``; any other window would silently be a day."""
        answer = await self._send("GET", "/api/dashboard/overview", query={"range": window})
        return record(answer.body)

    @degrades(no_rows)
    async def fetch_dashboard_agents(self) -> list[Row]:
        """Every registered agent, expired and deregistered ones too, with its all-time counts."""
        return await self._rows("/api/dashboard/agents", "agents")
