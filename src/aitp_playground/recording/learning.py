"""What of a run's values is known before anything is named: whose keys, ports, tokens and sessions they are.

A token is called after the step it was made in, its issuer and its holder, a session after the step and its two sides:
whichever pair was first, these are the same in every run.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from typing import Any, Final

from aitp_playground.events.model import RunEvent
from aitp_playground.events.vocabulary import spec
from aitp_playground.recording.names import Names

OUTSIDE: Final = "outside"
_DEEPEST: Final = 8
_HOOK: Final = "/webhooks/cp/"
_ORIGIN: Final = re.compile(r"https?://[^/\s]+", re.ASCII)
_UNKNOWN: Final = "other"
_CONTROL_PLANE: Final = "control-plane"
#: Whose revocation list is told of, when it is no agent's.
_LISTS: Final = ("revocation.list_fetched", "revocation.refresh_failed", "revocation.verify_failed")

#: Kind and value, and the parts of its name: agents' ids, and AIDs whose owner is looked up at the end.
_Claims = dict[tuple[str, str], tuple[str, ...]]


class Learner:
    """Is shown every event of a run, in order; :meth:`finish` then gives the names."""

    def __init__(self, names: Names, run_id: str) -> None:
        self._names = names
        self._run_id = run_id
        self._owners: dict[str, str] = {}
        self._made: _Claims = {}
        self._mentioned: _Claims = {}
        self._lists: list[tuple[str, str]] = []
        names.call(run_id, "run")
        names.call(run_id.replace("-", ""), "run")

    def owns(self, aid: Any) -> bool:
        """Whether this is the AID of an agent of the run."""
        return isinstance(aid, str) and aid in self._owners

    def see(self, event: RunEvent) -> None:
        """Take note of what this event says about values."""
        self._keys(event)
        self._addresses(event)
        row = spec(event.type)
        makes = row.makes if row else frozenset()
        note = self._made.setdefault if makes else self._mention
        label = _label(event)
        jti, session = event.get("jti"), event.get("session_id")
        if makes or event.type == "handshake.complete":
            for issuer, subject, token in _tokens(event):
                if isinstance(of_token := token.get("jti"), str):
                    note(("jti", of_token), (label, issuer, subject))
                cnf = token.get("cnf")
                if isinstance(key := cnf.get("jkt") if isinstance(cnf, Mapping) else None, str):
                    self._mention(("jkt", key), (subject,))
        if isinstance(jti, str):
            note(("jti", jti), (label, *_issuer_and_holder(event)))
        if isinstance(session, str):
            note(("session", session), (label, *_sides(event)))

    def finish(self) -> None:
        """Name everything; what makes something comes before what mentions it."""
        for claims in (self._made, self._mentioned):
            for (kind, value), parts in claims.items():
                self._names.give(value, kind, *(self._owner(part) for part in parts))
        for issuer, url in self._lists:
            if issuer not in self._owners:
                self._names.call(issuer, f"aid:{_CONTROL_PLANE}")
                if origin := _ORIGIN.match(url):
                    self._names.call_origin(origin[0], _CONTROL_PLANE)
        self._names.settle()

    def _mention(self, what: tuple[str, str], parts: tuple[str, ...]) -> None:
        """Of what nothing in the log has made; which mention of it came first is chance."""
        self._mentioned[what] = min(parts, self._mentioned.get(what, parts))

    def _owner(self, part: str) -> str:
        if not part.startswith("aid:"):
            return part
        return self._owners.get(part, _UNKNOWN)

    def _keys(self, event: RunEvent) -> None:
        agent = event.get("agent_id") or event.get("agent")
        if event.type == "identity.key.rotated":
            fresh = (event.get("aid"), event.payload.get("old_aid"), event.payload.get("new_aid"))
        elif event.type == "agent.ready":
            fresh = (event.get("aid"), None, None)
        else:
            return
        aid, old, new = fresh
        for known in (old, aid, new):
            if isinstance(known, str) and isinstance(agent, str) and known not in self._owners:
                self._owners[known] = agent
                self._names.give(known, "aid", agent)
                self._names.give(known.rpartition(":")[2], "key", agent)

    def _addresses(self, event: RunEvent) -> None:
        port, agent = event.get("port"), event.get("agent_id")
        if type(port) is int and isinstance(agent, str):
            self._names.give_port(port, agent)
        url = event.get("source_url")
        if isinstance(url, str):
            if (at := url.find(_HOOK + self._run_id)) > 0:
                self._names.call_origin(url[:at], "playground")
            issuer = event.payload.get("issuer")
            if event.type in _LISTS and isinstance(issuer, str) and event.payload.get("peer") is None:
                self._lists.append((issuer, url))


def _label(event: RunEvent) -> str:
    step_id = event.get("step_id")
    if isinstance(step_id, str):
        return step_id
    family = event.type.partition(".")[0]
    return "handshake" if family == "trust" else family


def _sides(event: RunEvent) -> tuple[str, ...]:
    named = (event.get("initiator"), event.get("target"))
    sides = tuple(side for side in named if isinstance(side, str))
    return sides or (_text(event.get("agent_id") or event.get("agent") or event.payload.get("coordinator")),)


def _issuer_and_holder(event: RunEvent) -> tuple[str, str]:
    """Of the token whose ``jti`` an event carries, as far as the event's sides say it."""
    sides, speaker = _sides(event), event.get("agent_id")
    if event.type == "trust.established" or not isinstance(speaker, str):
        # Here the one who begins is the one who gets it.
        return (sides[-1], sides[0])
    if event.type == "delegation.redeemed":
        return (speaker, sides[-1])
    return (speaker, next((side for side in sides if side != speaker), _UNKNOWN))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _UNKNOWN


def _tokens(event: RunEvent) -> Generator[tuple[str, str, Mapping[str, Any]]]:
    """Claims in the event that name their issuer and their subject, after these. An agent may say anything there."""
    for claims in _mappings(event.payload, 0):
        issuer, subject = claims.get("iss"), claims.get("sub")
        if isinstance(issuer, str) and isinstance(subject, str):
            yield issuer, subject, claims


def _mappings(value: Any, depth: int) -> Generator[Mapping[str, Any]]:
    if depth > _DEEPEST:
        return
    if isinstance(value, Mapping):
        yield value
        for part in value.values():
            yield from _mappings(part, depth + 1)
    elif isinstance(value, list):
        for part in value:
            yield from _mappings(part, depth + 1)
