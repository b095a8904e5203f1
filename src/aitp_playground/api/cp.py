"""What the Control Plane shows, through our door: lists that are empty without one and say so when it fails.

A filter that the Control Plane would misread, and then ignore, is refused here and not sent on.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from aitp_playground.api import query
from aitp_playground.api.answers import answer
from aitp_playground.api.backend import BACKEND
from aitp_playground.api.paths import run_id_of
from aitp_playground.cp_client.client import CpClient
from aitp_playground.cp_client.reasons import Outcome
from aitp_playground.uuids import is_uuid

#: Rows of a list when the caller does not say; the Control Plane's own default differs from route to route.
PAGE: Final = 100
DEFAULT_WINDOW: Final = "24h"
WINDOWS: Final = ("1h", DEFAULT_WINDOW, "7d", "30d")
SESSION_STATUSES: Final = ("started", "complete", "failed")

#: Widths of the Control Plane's columns, in characters: nothing longer can match.
_LONGEST_NAME: Final = 128
_LONGEST_SESSION: Final = 255
#: A NUL in a filter ends in a database error over there.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SECONDS: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)


# -- one run ----------------------------------------------------------------------------------------------------------


@query.takes("type", "limit")
async def run_audit(request: web.Request) -> web.Response:
    """The run's events as the Control Plane has them, newest first, and the distinct types among them."""
    run_id, cp = await _known_run(request), _client(request)
    found = await cp.fetch_events_history.outcome(
        run_id=run_id, event_type=_text(request, "type", _LONGEST_NAME), limit=_limit(request)
    )
    kinds = {row["type"] for row in found.value if isinstance(row.get("type"), str)}
    shown = {"events": found.value, "event_types": sorted(kinds), "count": len(found.value)}
    return _answer(cp, found, {"run_id": run_id}, shown)


@query.takes("status", "limit")
async def run_sessions(request: web.Request) -> web.Response:
    """The run's handshake sessions, newest first; the Control Plane shows 200 at most."""
    run_id, cp = await _known_run(request), _client(request)
    status = query.choice(request, "status", SESSION_STATUSES)
    found = await cp.fetch_sessions.outcome(run_id=run_id, status=status, limit=_limit(request))
    return _answer(cp, found, {"run_id": run_id}, {"sessions": found.value, "count": len(found.value)})


async def _known_run(request: web.Request) -> str:
    """The run of this path. Raises RunNotFound before the Control Plane could be asked about it."""
    run_id = run_id_of(request)
    await request.app[BACKEND].directory.row(run_id)
    return run_id


# -- everything the Control Plane knows -------------------------------------------------------------------------------


@query.takes("issuer", "subject", "audience", "capability", "session_id", "active", "limit")
async def list_tcts(request: web.Request) -> web.Response:
    """Tokens as reported, newest first. ``active=true`` leaves out revoked and expired ones."""
    cp = _client(request)
    found = await cp.fetch_tcts.outcome(
        issuer=_text(request, "issuer"),
        subject=_text(request, "subject"),
        audience=_text(request, "audience"),
        capability=_text(request, "capability"),
        session_id=_text(request, "session_id", _LONGEST_SESSION),
        active=query.flag(request, "active", default=False),
        limit=_limit(request),
    )
    return _items(cp, found)


@query.takes("root_jti", "parent_jti", "delegator", "delegatee", "active", "limit")
async def list_delegations(request: web.Request) -> web.Response:
    """Delegations as reported. ``root_jti``, of a delegation and not of a TCT: that one and all below, oldest first."""
    cp = _client(request)
    found = await cp.fetch_delegations.outcome(
        root_jti=_uuid(request, "root_jti"),
        parent_jti=_uuid(request, "parent_jti"),
        delegator=_text(request, "delegator"),
        delegatee=_text(request, "delegatee"),
        active=query.flag(request, "active", default=False),
        limit=_limit(request),
    )
    return _items(cp, found)


@query.takes("since", "until", "limit")
async def replay_session(request: web.Request) -> web.Response:
    """The events of a session, oldest first; of one that nobody reported, none."""
    cp, session_id = _client(request), _plain("sid", request.match_info["sid"], _LONGEST_SESSION)
    if session_id in {".", ".."}:
        query.refuse("sid", "cannot be the id of a session")
    found = await cp.replay_session.outcome(
        session_id, since=_moment(request, "since"), until=_moment(request, "until"), limit=_limit(request)
    )
    return _items(cp, found)


async def list_agents(request: web.Request) -> web.Response:
    """Every agent ever registered, with its all-time counts."""
    cp = _client(request)
    return _items(cp, await cp.fetch_dashboard_agents.outcome())


@query.takes("namespace")
async def list_trust_anchors(request: web.Request) -> web.Response:
    """Anchors of a namespace, or of all."""
    cp = _client(request)
    return _items(cp, await cp.list_trust_anchors.outcome(_text(request, "namespace", _LONGEST_NAME)))


@query.takes("namespace")
async def list_pinned_keys(request: web.Request) -> web.Response:
    """Pins of a namespace, or of all; expired ones too."""
    cp = _client(request)
    return _items(cp, await cp.list_pinned_keys.outcome(_text(request, "namespace", _LONGEST_NAME)))


@query.takes("window")
async def show_dashboard(request: web.Request) -> web.Response:
    """Key figures of a window; over everything the Control Plane has, not over our runs."""
    cp = _client(request)
    found = await cp.fetch_dashboard_overview.outcome(query.choice(request, "window", WINDOWS) or DEFAULT_WINDOW)
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


# -- parameters -------------------------------------------------------------------------------------------------------


def _limit(request: web.Request) -> int:
    return query.limit(request) or PAGE


def _text(request: web.Request, name: str, longest: int = 512) -> str | None:
    given = request.query.get(name)
    return None if given is None else _plain(name, given, longest)


def _plain(name: str, given: str, longest: int) -> str:
    """``given``. Raises InvalidRequest for what is empty, too long or not text."""
    if not 0 < len(given) <= longest or _CONTROL.search(given):
        query.refuse(name, f"must have 1 to {longest} characters, none of them a control character")
    return given


def _uuid(request: web.Request, name: str) -> str | None:
    """A hyphenated UUID (RFC 9562, section 4) in lower case, as rows show it; None when absent."""
    given = request.query.get(name)
    if given is not None and not is_uuid(given):
        query.refuse(name, "must be a UUID in its hyphenated form")
    return given and given.lower()


def _moment(request: web.Request, name: str) -> str | None:
    """Unix seconds, or date text as rows show it; UTC where no zone is given. None when absent.

    The Control Plane gets ISO 8601 with ``Z`` and milliseconds: it refuses numbers and assumes a zone of its own.
    """
    given = request.query.get(name)
    if given is None:
        return None
    try:
        if _SECONDS.fullmatch(given):
            moment = datetime.fromtimestamp(float(given), UTC)
        else:
            read = datetime.fromisoformat(given)
            moment = (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        query.refuse(name, "must be Unix seconds or an ISO 8601 date; write the + of an offset as %2B")
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
