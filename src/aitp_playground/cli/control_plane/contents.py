"""What a Control Plane holds about runs: sessions, tokens, delegations, revocations, deliveries. Told in lines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

from aitp_playground.config import Settings
from aitp_playground.cp_client.answers import text, texts
from aitp_playground.cp_client.client import CpClient
from aitp_playground.events.codec import decode
from aitp_playground.events.model import RunEvent
from aitp_playground.events.narration import plain
from aitp_playground.events.vocabulary import TERMINAL_TYPES
from aitp_playground.net import client_session
from aitp_playground.runs.directory import RunDirectory

#: Seconds for the log of a run that is over to arrive, and for what it sets off to be delivered.
ARRIVAL_SECONDS: Final = 20.0
DELIVERY_SECONDS: Final = 5.0
_LOOK: Final = 0.1
_MOST: Final = 1000
_SHOWN: Final = 4
_TEXT: Final = 80

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """One run, seen from the Control Plane; rows are the Control Plane's own. ``names``: the run's agents by AID.

    ``arrived``: it has the whole log. ``deliveries``: the types of the run's events that it delivered to its webhook.
    """

    run_id: str
    ref: str
    arrived: bool
    names: Mapping[str, str]
    events: int
    registered: Sequence[Row]
    pinned: Sequence[Row]
    sessions: Sequence[Row]
    tcts: Sequence[Row]
    delegations: Sequence[Row]
    revocations: Sequence[Row]
    deliveries: Sequence[str]


async def contents_of_runs(settings: Settings, directory: RunDirectory, run_ids: Sequence[str]) -> list[Contents]:
    """Look at runs that are over, once their logs have arrived or the time for it is up."""
    async with client_session() as http, AsyncExitStack() as stack:
        cp = CpClient(settings, http)
        stack.push_async_callback(cp.close)
        arrived = await asyncio.gather(*(_arrived(cp, directory, run_id) for run_id in run_ids))
        # A delivery that goes on failing is not waited for.
        await _within(DELIVERY_SECONDS, lambda: _all_delivered(cp))
        return [
            await _look(cp, directory, run_id, arrived=there) for run_id, there in zip(run_ids, arrived, strict=True)
        ]


async def _arrived(cp: CpClient, directory: RunDirectory, run_id: str) -> bool:
    """Events arrive in order, so the one that ended the run comes after all that it was about."""
    ending = next(event.type for event in await _events(directory, run_id) if event.type in TERMINAL_TYPES)
    return await _within(ARRIVAL_SECONDS, lambda: cp.fetch_events_history(run_id=run_id, event_type=ending, limit=1))


async def _all_delivered(cp: CpClient) -> bool:
    kpis = (await cp.fetch_dashboard_overview("1h")).get("kpis")
    return isinstance(kpis, Mapping) and kpis.get("pendingWebhookDeliveries") == 0


async def _within(seconds: float, look: Callable[[], Awaitable[object]]) -> bool:
    """Look again and again until there is something to see; False when there was nothing in that time."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    while not await look():
        if clock() > until:
            return False
        await asyncio.sleep(_LOOK)
    return True


async def _look(cp: CpClient, directory: RunDirectory, run_id: str, *, arrived: bool) -> Contents:
    events = await _events(directory, run_id)
    names = {str(event.get("aid")): str(event.get("agent_id")) for event in events if event.type == "agent.ready"}
    tcts = _about(await cp.fetch_tcts(limit=_MOST), names, "issuer", "subject")
    delegations = _about(await cp.fetch_delegations(limit=_MOST), names, "delegator", "delegatee")
    jtis = {jti for row in (*tcts, *delegations) if (jti := text(row, "jti")) is not None}
    return Contents(
        run_id=run_id,
        ref=(await directory.view(run_id)).row.header.scenario_ref,
        arrived=arrived,
        names=names,
        events=len(await cp.fetch_events_history(run_id=run_id, limit=_MOST)),
        registered=_about(await cp.fetch_dashboard_agents(), names, "aid"),
        pinned=_about(await cp.list_pinned_keys(), names, "aid"),
        sessions=await cp.fetch_sessions(run_id=run_id),
        tcts=tcts,
        delegations=delegations,
        revocations=[row for row in await cp.fetch_revocation_list() if text(row, "jti") in jtis],
        deliveries=[
            str(event.get("event_type"))
            for event in events
            if event.type == "cp.webhook.delivered" and not event.get("foreign")
        ],
    )


async def _events(directory: RunDirectory, run_id: str) -> list[RunEvent]:
    return [decode(stored.body) for stored in (await directory.view(run_id)).events]


def _about(rows: Iterable[Row], aids: Collection[str], *fields: str) -> list[Row]:
    return [row for row in rows if any(text(row, field) in aids for field in fields)]


# -- in lines ----------------------------------------------------------------------------------------------------------


def content_lines(seen: Sequence[Contents]) -> Iterator[str]:
    """A paragraph for each run."""
    for contents in seen:
        yield from _lines(contents)


def _lines(seen: Contents) -> Iterator[str]:
    def who(aid: object) -> str:
        return seen.names.get(str(aid)) or plain(str(aid), _TEXT)

    yield f"the Control Plane on {seen.ref}: {seen.events}{'+' if seen.events == _MOST else ''} events"
    if not seen.arrived:
        yield "  (the rest of the log has not arrived there yet)"
    yield from _counted("agents registered", [who(row.get("aid")) for row in seen.registered])
    yield from _counted("keys pinned", [f"{who(row.get('aid'))} in {row.get('namespace')}" for row in seen.pinned])
    yield from _counted(
        "sessions",
        [f"{who(row.get('aidA'))} with {who(row.get('aidB'))}: {row.get('status')}" for row in seen.sessions],
    )
    yield from _counted("TCTs", [_token(row, who(row.get("issuer")), who(row.get("subject"))) for row in seen.tcts])
    yield from _counted("delegations", _tree(seen.delegations, who))
    yield from _counted("revocations", [_revocation(row) for row in seen.revocations])
    yield from _counted("deliveries", list(seen.deliveries))


def _counted(what: str, lines: Sequence[str]) -> Iterator[str]:
    yield f"  {what}: {len(lines)}"
    for line in lines[:_SHOWN]:
        yield f"    {line}"
    if len(lines) > _SHOWN:
        yield f"    … and {len(lines) - _SHOWN} more"


def _revocation(row: Row) -> str:
    reason = text(row, "reason")
    return plain(str(row.get("jti")), _TEXT) + (f": {plain(reason, _TEXT)}" if reason else "")


def _token(row: Row, issuer: str, subject: str) -> str:
    return f"{issuer} to {subject}: {', '.join(texts(row, 'grants'))}" + (" (revoked)" if row.get("revoked") else "")


def _tree(rows: Sequence[Row], who: Callable[[object], str]) -> list[str]:
    """Each delegation below the one it was made from."""
    children: dict[str | None, list[Row]] = {}
    known = {text(row, "jti") for row in rows} - {None}
    for row in rows:
        parent = text(row, "parentJti")
        children.setdefault(parent if parent in known else None, []).append(row)

    def below(parent: str | None, depth: int) -> Iterator[str]:
        # Taken out as it is shown: rows that name each other are then shown once at most.
        for row in children.pop(parent, ()):
            scope = ", ".join(texts(row, "scope"))
            end = " (revoked)" if row.get("revoked") else ""
            yield f"{'  ' * depth}{who(row.get('delegator'))} to {who(row.get('delegatee'))}: {scope}{end}"
            if (jti := text(row, "jti")) is not None:
                yield from below(jti, depth + 1)

    return list(below(None, 0))
