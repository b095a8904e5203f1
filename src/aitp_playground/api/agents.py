"""Agents of unfinished runs, and what a worker printed."""

from __future__ import annotations

import dataclasses

from aiohttp import web

from aitp_playground.api.answers import answer, text
from aitp_playground.api.backend import BACKEND
from aitp_playground.api.paths import run_id_of


async def list_agents(request: web.Request) -> web.Response:
    """Crashed agents stay listed for a minute."""
    rows = request.app[BACKEND].directory.agents()
    return answer({"agents": [dataclasses.asdict(row) for row in rows]})


async def agent_log(request: web.Request) -> web.Response:
    """Plain text, bounded and redacted where it was captured."""
    directory = request.app[BACKEND].directory
    return text(await directory.agent_log(run_id_of(request), request.match_info["agent_id"]))


ROUTES = [web.get("/agents", list_agents), web.get("/runs/{run_id}/agents/{agent_id}/log", agent_log)]
