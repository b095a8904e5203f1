"""Agents of unfinished runs, and what a worker printed."""

from __future__ import annotations

import dataclasses

from aiohttp import web
from typing_extensions import TypedDict

from aitp_playground.api.answers import answer, text
from aitp_playground.api.backend import BACKEND
from aitp_playground.api.contract.operations import OF_A_RUN, TEXT, Answer, Tag, operation
from aitp_playground.api.paths import AGENT_ID, RUN_ID, run_id_of
from aitp_playground.errors import NotFound
from aitp_playground.runs.board import AgentRow

TAG = Tag("Agents", "The processes behind the runs.")


class Agents(TypedDict):
    """In order of launch."""

    agents: list[AgentRow]


@operation("listAgents", "List the agents of unfinished runs", Answer("The agents.", Agents))
async def list_agents(request: web.Request) -> web.Response:
    """Crashed agents stay listed for a minute."""
    rows = request.app[BACKEND].directory.agents()
    return answer({"agents": [dataclasses.asdict(row) for row in rows]})


@operation(
    "getAgentLog",
    "Get the output of an agent",
    Answer("Its standard output and standard error.", str, content_type=TEXT),
    path=(RUN_ID, AGENT_ID),
    raises=(NotFound, *OF_A_RUN),
)
async def agent_log(request: web.Request) -> web.Response:
    """Plain text, bounded and redacted where it was captured."""
    directory = request.app[BACKEND].directory
    return text(await directory.agent_log(run_id_of(request), request.match_info["agent_id"]))


ROUTES = [web.get("/agents", list_agents), web.get("/runs/{run_id}/agents/{agent_id}/log", agent_log)]
