"""What the Control Plane shows, through our door: lists that are empty without one and say so when it fails.

A filter that the Control Plane would misread, and then ignore, is refused here and not sent on.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from aiohttp import web
from pydantic import Field
from typing_extensions import TypedDict

from aitp_playground.api import cp_filters as asked
from aitp_playground.api import query
from aitp_playground.api.answers import answer
from aitp_playground.api.backend import BACKEND
from aitp_playground.api.contract.operations import OF_A_RUN, Answer, Tag, operation
from aitp_playground.api.documents import JsonObject
from aitp_playground.api.paths import RUN_ID, PathPart, run_id_of
from aitp_playground.cp_client.client import CpClient
from aitp_playground.cp_client.reasons import Outcome, Reason

TAG = Tag("Control Plane", "What the Control Plane has. Without one, and with one that fails, lists are empty.")

# -- what is answered --------------------------------------------------------------------------------------------------


class _FromTheControlPlane(TypedDict):
    cp_enabled: Annotated[bool, Field(description="Whether there is a Control Plane.")]
    cp_error: NotRequired[Annotated[Reason, Field(description="Why it did not answer; absent when it did.")]]


class RunAudit(_FromTheControlPlane):
    """The events of a run as the Control Plane has them, newest first, and the types among them."""

    run_id: str
    events: list[JsonObject]
    event_types: list[str]
    count: int


class RunSessions(_FromTheControlPlane):
    """The sessions of a run, newest first."""

    run_id: str
    sessions: list[JsonObject]
    count: int


class Items(_FromTheControlPlane):
    """Rows as the Control Plane gives them."""

    items: list[JsonObject]
    count: int


class Dashboard(_FromTheControlPlane):
    """Key figures as the Control Plane gives them."""

    data: JsonObject


_ROWS = Answer("What it has.", Items)


# -- one run ----------------------------------------------------------------------------------------------------------


@operation(
    "getRunAudit",
    "List the events of a run at the Control Plane",
    Answer("What it has.", RunAudit),
    path=(RUN_ID,),
    raises=OF_A_RUN,
)
@query.takes(asked.TYPE, asked.LIMIT)
async def run_audit(request: web.Request) -> web.Response:
    """The run's events as the Control Plane has them, newest first, and the distinct types among them."""
    run_id, cp = await _known_run(request), _client(request)
    found = await cp.fetch_events_history.outcome(
        run_id=run_id, event_type=asked.TYPE.of(request), limit=_limit(request)
    )
    kinds = {row["type"] for row in found.value if isinstance(row.get("type"), str)}
    shown = {"events": found.value, "event_types": sorted(kinds), "count": len(found.value)}
    return _answer(cp, found, {"run_id": run_id}, shown)


@operation(
    "getRunSessions",
    "List the sessions of a run at the Control Plane",
    Answer("What it has.", RunSessions),
    path=(RUN_ID,),
    raises=OF_A_RUN,
)
@query.takes(asked.STATUS, asked.LIMIT)
async def run_sessions(request: web.Request) -> web.Response:
    """The run's handshake sessions, newest first; the Control Plane shows 200 at most."""
    run_id, cp = await _known_run(request), _client(request)
    found = await cp.fetch_sessions.outcome(run_id=run_id, status=asked.STATUS.of(request), limit=_limit(request))
    return _answer(cp, found, {"run_id": run_id}, {"sessions": found.value, "count": len(found.value)})


async def _known_run(request: web.Request) -> str:
    """The run of this path. Raises RunNotFound before the Control Plane could be asked about it."""
    run_id = run_id_of(request)
    await request.app[BACKEND].directory.row(run_id)
    return run_id


# -- everything the Control Plane knows -------------------------------------------------------------------------------


@operation("listTcts", "List tokens that were reported", _ROWS)
@query.takes(asked.ISSUER, asked.SUBJECT, asked.AUDIENCE, asked.CAPABILITY, asked.SESSION, asked.ACTIVE, asked.LIMIT)
async def list_tcts(request: web.Request) -> web.Response:
    """Tokens as reported, newest first. ``active=true`` leaves out revoked and expired ones."""
    cp = _client(request)
    found = await cp.fetch_tcts.outcome(
        issuer=asked.ISSUER.of(request),
        subject=asked.SUBJECT.of(request),
        audience=asked.AUDIENCE.of(request),
        capability=asked.CAPABILITY.of(request),
        session_id=asked.SESSION.of(request),
        active=asked.ACTIVE.on(request),
        limit=_limit(request),
    )
    return _items(cp, found)


@operation("listDelegations", "List delegations that were reported", _ROWS)
@query.takes(asked.ROOT, asked.PARENT, asked.DELEGATOR, asked.DELEGATEE, asked.ACTIVE, asked.LIMIT)
async def list_delegations(request: web.Request) -> web.Response:
    """Delegations as reported. ``root_jti``, of a delegation and not of a TCT: that one and all below, oldest first."""
    cp = _client(request)
    found = await cp.fetch_delegations.outcome(
        root_jti=asked.ROOT.of(request),
        parent_jti=asked.PARENT.of(request),
        delegator=asked.DELEGATOR.of(request),
        delegatee=asked.DELEGATEE.of(request),
        active=asked.ACTIVE.on(request),
        limit=_limit(request),
    )
    return _items(cp, found)


@operation(
    "replaySession",
    "List the events of a session",
    _ROWS,
    path=(PathPart(asked.SID.name, asked.SID.about, schema=asked.SID.schema),),
)
@query.takes(asked.SINCE, asked.UNTIL, asked.LIMIT)
async def replay_session(request: web.Request) -> web.Response:
    """The events of a session, oldest first; of one that nobody reported, none."""
    cp, session_id = _client(request), asked.SID.read(request.match_info[asked.SID.name])
    if session_id in {".", ".."}:
        asked.SID.refuse("cannot be the id of a session")
    found = await cp.replay_session.outcome(
        session_id, since=asked.SINCE.of(request), until=asked.UNTIL.of(request), limit=_limit(request)
    )
    return _items(cp, found)


@operation("listRegisteredAgents", "List the agents that were ever registered", _ROWS)
async def list_agents(request: web.Request) -> web.Response:
    """Every agent ever registered, with its all-time counts."""
    cp = _client(request)
    return _items(cp, await cp.fetch_dashboard_agents.outcome())


@operation("listTrustAnchors", "List trust anchors", _ROWS)
@query.takes(asked.NAMESPACE)
async def list_trust_anchors(request: web.Request) -> web.Response:
    """Anchors of a namespace, or of all."""
    cp = _client(request)
    return _items(cp, await cp.list_trust_anchors.outcome(asked.NAMESPACE.of(request)))


@operation("listPinnedKeys", "List pinned keys", _ROWS)
@query.takes(asked.NAMESPACE)
async def list_pinned_keys(request: web.Request) -> web.Response:
    """Pins of a namespace, or of all; expired ones too."""
    cp = _client(request)
    return _items(cp, await cp.list_pinned_keys.outcome(asked.NAMESPACE.of(request)))


@operation("getDashboard", "Get the key figures of a window", Answer("The figures.", Dashboard))
@query.takes(asked.WINDOW)
async def show_dashboard(request: web.Request) -> web.Response:
    """Key figures of a window; over everything the Control Plane has, not over our runs."""
    cp = _client(request)
    found = await cp.fetch_dashboard_overview.outcome(asked.WINDOW.of(request) or asked.DEFAULT_WINDOW)
    return _answer(cp, found, {}, {"data": found.value})


# -- answers ----------------------------------------------------------------------------------------------------------


def _client(request: web.Request) -> CpClient:
    return request.app[BACKEND].cp


def _items(cp: CpClient, found: Outcome[list[dict[str, Any]]]) -> web.Response:
    return _answer(cp, found, {}, {"items": found.value, "count": len(found.value)})


def _answer(cp: CpClient, found: Outcome[Any], about: dict[str, Any], shown: dict[str, Any]) -> web.Response:
    """Always 200. ``cp_error`` is there only when the call failed, and tells an outage from having no data."""
    failure = {} if found.reason is None else {"cp_error": found.reason}
    return answer({**about, "cp_enabled": cp.enabled, **failure, **shown})


def _limit(request: web.Request) -> int:
    return asked.LIMIT.of(request) or asked.PAGE


ROUTES = [
    web.get("/runs/{run_id}/cp-audit", run_audit),
    web.get("/runs/{run_id}/cp-sessions", run_sessions),
    web.get("/cp/tcts", list_tcts),
    web.get("/cp/delegations", list_delegations),
    web.get("/cp/sessions/{sid}/replay", replay_session),
    web.get("/cp/agents", list_agents),
    web.get("/cp/trust-anchors", list_trust_anchors),
    web.get("/cp/pinned-keys", list_pinned_keys),
    web.get("/cp/dashboard", show_dashboard),
]
