"""The responder's open handshakes, and those that ended well a moment ago.

Nobody's handshakes can push out another's: each introduced peer has places of its own, and all strangers share theirs.
A session that is over is remembered for as long as it could have been open, because its initiator may still find fault
with the last message (RFC-AITP-0004, section 6).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import aitp

from base.protocol.budgets import STRANGERS
from base.protocol.issuer_lists import Look
from base.protocol.peers import Peer
from base.protocol.tokens import Token
from base.refusals import Refusal

#: Places for one introduced peer, and for all strangers together.
MAX_OPEN = 64
SESSION_SECS = 60.0

Clock = Callable[[], float]


#: Messages that a stranger's hello has paid for: its commit, and another where the first went wrong on the way.
PAID_FOR = 2


@dataclass(slots=True)
class Pending:
    """A handshake between its hello and its commit. ``nonce`` is the one that the commit must echo; ``look`` is at
    the list of the initiator, ``one_way`` says that what the initiator will issue is of no use; ``paid_for``: how many
    more messages are within the budget that the hello was charged to; ``identity_type``: what vouches for it."""

    session_id: str
    nonce: str
    responder: aitp.ResponderSession
    peer: Peer
    look: Look
    one_way: bool
    identity_type: str
    paid_for: int = PAID_FOR


@dataclass(frozen=True, slots=True)
class Done:
    """A handshake that ended well on this side, with what came of it; ``held`` is None when that was not kept."""

    session_id: str
    peer: Peer
    issued: Token
    held: Token | None


class _OfASession(Protocol):
    @property
    def session_id(self) -> str: ...

    @property
    def peer(self) -> Peer: ...


_T = TypeVar("_T", bound=_OfASession)


class Places(Generic[_T]):
    """What is kept of sessions: by owner, oldest first, ``limit`` each, for ``seconds``."""

    def __init__(self, limit: int = MAX_OPEN, seconds: float = SESSION_SECS, clock: Clock = time.monotonic) -> None:
        self._limit = limit
        self._seconds = seconds
        self._clock = clock
        self._kept: dict[str, OrderedDict[str, tuple[_T, float]]] = {}

    def add(self, item: _T, *, introduced: bool) -> None:
        """Keep it; at the bound its owner's oldest goes."""
        owner = item.peer.key if introduced else STRANGERS
        self._kept = {name: kept for name, kept in self._kept.items() if kept or name == owner}
        kept = self._kept.setdefault(owner, OrderedDict())
        while len(kept) >= self._limit or (kept and self._is_over(next(iter(kept.values()))[1])):
            kept.popitem(last=False)
        kept[item.session_id] = (item, self._clock() + self._seconds)

    def of(self, key: str) -> list[_T]:
        """Those of that sender that are not over, newest first."""
        kept = [*self._of_owner(STRANGERS).values(), *self._of_owner(key).values()]
        return [item for item, until in reversed(kept) if item.peer.key == key and not self._is_over(until)]

    def take(self, session_id: str, key: str) -> _T | None:
        """That sender's session of this id, which is then gone; ``stale`` when it is over."""
        for kept in (self._of_owner(key), self._of_owner(STRANGERS)):
            if session_id in kept and kept[session_id][0].peer.key == key:
                item, until = kept.pop(session_id)
                if self._is_over(until):
                    raise Refusal("stale", "the handshake took too long; start again")
                return item
        return None

    def _of_owner(self, owner: str) -> OrderedDict[str, tuple[_T, float]]:
        return self._kept.get(owner) or OrderedDict()

    def _is_over(self, until: float) -> bool:
        return self._clock() > until


class SessionMap:
    """Finds the session that a commit belongs to: by the id that the HTTP binding sends along, else by its nonce."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._open: Places[Pending] = Places(clock=clock)
        self._done: Places[Done] = Places(clock=clock)

    def open(self, pending: Pending, *, introduced: bool) -> None:
        """A hello was answered."""
        self._open.add(pending, introduced=introduced)

    def expects(self, key: str) -> bool:
        """Whether that sender has a session open whose hello has paid for one more message, which this one then is."""
        for pending in self._open.of(key):
            if pending.paid_for > 0:
                pending.paid_for -= 1
                return True
        return False

    def take(self, key: str, session_id: str | None, nonce: object) -> Pending:
        """The sender's own session, which is then spent.

        Without an id, the one whose nonce is echoed and no other: a commit that its sender made for somebody else, who
        passes it on, must not end a handshake that is open here. Raises ``stale`` for one that is over,
        ``handshake_refused`` for one that never was.
        """
        if session_id is None:
            open_ones = self._open.of(key)
            fitting = [pending.session_id for pending in open_ones if pending.nonce == nonce]
            if open_ones and not fitting:
                raise Refusal("handshake_refused", "the nonce is of no open handshake", registry="NONCE_MISMATCH")
            session_id = fitting[0] if fitting else ""
        pending = self._open.take(session_id, key)
        if pending is None:
            raise Refusal("handshake_refused", "no such handshake is open; start again")
        return pending

    def close(self, done: Done, *, introduced: bool) -> None:
        """Its commit was answered."""
        self._done.add(done, introduced=introduced)

    def knows(self, key: str, session_id: str | None) -> bool:
        """Whether that sender has a handshake of this id that is open or ended a moment ago."""
        kept = [one.session_id for one in self._open.of(key)] + [one.session_id for one in self._done.of(key)]
        return session_id in kept

    def undo(self, key: str, session_id: str) -> Done | None:
        """The handshake of that id, of which its initiator says that it has failed.

        One that is still open is over then, and there is nothing to undo: None. Raises ``handshake_refused`` when there
        is none.
        """
        if self._open.take(session_id, key) is not None:
            return None
        done = self._done.take(session_id, key)
        if done is None:
            raise Refusal("handshake_refused", "no handshake of yours is open here or ended a moment ago")
        return done
