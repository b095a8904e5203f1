"""Who holds which token of whom: what a run's events change in the books of its agents, as a fold.

Every change of an agent's book is an event (docs/events.md), so what holds for a live run holds for one of last year.
What an agent says of itself is believed as far as it has the right shape: this tells what the log says, it verifies
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aitp_playground.events.model import RunEvent

#: ``issued``: an issuer gave a token out. ``held``: its holder has it. ``dropped``: an agent gave one up that it held
#: or issued (``side``). ``revoked``: its issuer takes it back. ``denied``: another agent has learnt that it is revoked.
#: ``rotated``: an agent has a new key, with which all that it held or issued is gone.
Op = Literal["issued", "held", "dropped", "revoked", "denied", "rotated"]
Side = Literal["issued", "held"]
#: Where a token came from.
How = Literal["handshake", "renewed", "redeemed"]

#: The events that change anything, or name whom later ones speak of.
TYPES = frozenset(
    {
        "agent.ready",
        "identity.key.rotated",
        "handshake.complete",
        "handshake.answered",
        "tct.received",
        "tct.renewal.issued",
        "delegation.redeemed",
        "tct.dropped",
        "tct.revoked",
        "revocation.list_fetched",
    }
)
_MOST_GRANTS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one event changes in one agent's book. ``issuer`` and ``holder`` are agent ids, or AIDs of whom the run
    does not know; ``exp``: Unix seconds; ``parent``: the token that this one was made from."""

    seq: int
    ts: float
    op: Op
    agent: str
    jti: str | None = None
    issuer: str | None = None
    holder: str | None = None
    grants: Sequence[str] | None = None
    exp: float | None = None
    parent: str | None = None
    how: How | None = None
    side: Side | None = None
    because: str | None = None
    aid: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """What is known, by name."""
        told = ((name, getattr(self, name)) for name in self.__slots__)
        return {name: value for name, value in told if value is not None}


@dataclass(slots=True)
class TrustFold:
    """Take the events of a run in order; each gives what it changes."""

    _agents: dict[str, str] = field(default_factory=dict)  # by AID, also by those that they had
    #: (issuer, id in lower case) → the token's claims, for what names it by its id alone.
    _tokens: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)

    def apply(self, event: RunEvent) -> Iterator[Change]:
        """What it changes; events of other types than :data:`TYPES` change nothing."""
        match event.type:
            case "agent.ready":
                self._named(event.get("aid"), event.get("agent_id"))
            case "identity.key.rotated":
                yield from self._rotated(event)
            case "handshake.complete":
                yield from self._handshake(event, ("held", "issued"))
            case "handshake.answered":
                yield from self._handshake(event, ("issued", "held"))
            case "tct.received":
                yield from self._token(
                    event, "held", "redeemed" if event.payload.get("how") == "redeemed" else "renewed"
                )
            case "tct.renewal.issued":
                yield from self._token(event, "issued", "renewed")
            case "delegation.redeemed":
                yield from self._token(event, "issued", "redeemed")
            case "tct.dropped":
                yield from self._dropped(event)
            case "tct.revoked":
                yield from self._revoked(event)
            case "revocation.list_fetched":
                yield from self._denied(event)
            case _:
                pass

    def _named(self, aid: Any, agent_id: Any) -> None:
        if isinstance(aid, str) and isinstance(agent_id, str):
            self._agents[aid] = agent_id

    def _name(self, aid: Any) -> str | None:
        return self._agents.get(aid, aid) if isinstance(aid, str) else None

    def _rotated(self, event: RunEvent) -> Iterator[Change]:
        agent, aid = event.get("agent"), event.get("aid")
        self._named(aid, agent)
        if isinstance(agent, str):
            yield Change(
                seq=event.seq, ts=event.ts, op="rotated", agent=agent, aid=aid if isinstance(aid, str) else None
            )

    def _handshake(self, event: RunEvent, ops: tuple[Side, Side]) -> Iterator[Change]:
        """The token that this side is named for, and the one of the other direction if it was kept."""
        tcts = event.payload.get("tcts")
        for op, claims in zip(ops, tcts if isinstance(tcts, list) else (), strict=False):
            yield from self._kept(event, op, claims, "handshake", None)

    def _token(self, event: RunEvent, op: Side, how: How) -> Iterator[Change]:
        tct = event.payload.get("tct")
        claims = tct.get("claims") if isinstance(tct, Mapping) else None
        yield from self._kept(event, op, claims, how, event.payload.get("parent_jti"))

    def _kept(self, event: RunEvent, op: Side, claims: Any, how: How, parent: Any) -> Iterator[Change]:
        agent = event.get("agent_id")
        if not isinstance(agent, str) or not _is_token(claims):
            return
        self._tokens[str(self._name(claims["iss"])), claims["jti"].lower()] = claims
        yield self._change(event, op, agent, claims, how=how, parent=parent if isinstance(parent, str) else None)

    def _change(self, event: RunEvent, op: Op, agent: str, claims: Mapping[str, Any], **more: Any) -> Change:
        return Change(
            seq=event.seq,
            ts=event.ts,
            op=op,
            agent=agent,
            jti=claims["jti"],
            issuer=self._name(claims["iss"]),
            holder=self._name(claims["sub"]),
            grants=claims["grants"],
            exp=claims["exp"],
            **more,
        )

    def _dropped(self, event: RunEvent) -> Iterator[Change]:
        agent, side = event.get("agent_id"), event.payload.get("side")
        because = event.payload.get("because")
        if isinstance(agent, str) and side in ("issued", "held"):
            issuer = agent if side == "issued" else self._name(event.get("aid"))
            yield from self._of_known(event, "dropped", agent, issuer, event.get("jti"), side=side, because=because)

    def _revoked(self, event: RunEvent) -> Iterator[Change]:
        agent, because = event.get("agent_id"), event.payload.get("reason")
        if isinstance(agent, str):
            yield from self._of_known(event, "revoked", agent, agent, event.get("jti"), because=because)

    def _denied(self, event: RunEvent) -> Iterator[Change]:
        agent, denied = event.get("agent_id"), event.payload.get("denied")
        if isinstance(agent, str) and isinstance(denied, list):
            issuer = self._name(event.payload.get("issuer"))
            for jti in denied:
                yield from self._of_known(event, "denied", agent, issuer, jti)

    def _of_known(
        self, event: RunEvent, op: Op, agent: str, issuer: str | None, jti: Any, *, because: Any = None, **more: Any
    ) -> Iterator[Change]:
        if not isinstance(jti, str):
            return
        claims = self._tokens.get((str(issuer), jti.lower()))
        more["because"] = because if isinstance(because, str) else None
        if claims is not None:
            yield self._change(event, op, agent, claims, **more)
        else:
            yield Change(seq=event.seq, ts=event.ts, op=op, agent=agent, jti=jti, issuer=issuer, **more)


def _is_token(claims: Any) -> bool:
    return (
        isinstance(claims, Mapping)
        and all(isinstance(claims.get(name), str) for name in ("iss", "sub", "jti"))
        and isinstance(claims.get("exp"), int | float)
        and isinstance(grants := claims.get("grants"), list)
        and len(grants) <= _MOST_GRANTS
        and all(isinstance(grant, str) for grant in grants)
    )
