"""The tokens this agent holds and those it issued, by peer AID and by agent id, newest first.

AITP calls the token itself a TCT (Trust Context Token); its grant voucher is what a delegation is built from.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from base.aids import canonical

MAX_TOKENS = 4096
#: Bytes of text; a token taken apart takes some times as much.
MAX_BYTES = 8 << 20


def decode_claims(token: Any) -> dict[str, Any]:
    """The claims of a compact JWS, *unverified*. Raises ``ValueError``."""
    return decode_segment(token, 1)


def claims_or_nothing(token: Any) -> dict[str, Any]:
    """The same for what need not be a token, which then has none: for reports of what was refused."""
    try:
        return decode_claims(token)
    except ValueError:
        return {}


def decode_segment(token: Any, number: int) -> dict[str, Any]:
    """A segment of a compact JWS: 0 is its header, 1 its claims, neither verified. Raises ``ValueError``."""
    try:
        part = token.split(".")[number]
        content = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (AttributeError, IndexError, TypeError, RecursionError) as error:
        raise ValueError("not a compact JWS") from error
    if not isinstance(content, dict):
        raise ValueError("not a compact JWS")  # noqa: TRY004 - hostile text has one error for its callers
    return content


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One TCT. ``peer_aid`` is the other side: the issuer of a held one, the holder of an issued one."""

    tct: str = field(repr=False)
    voucher: str | None = field(default=None, repr=False)
    claims: dict[str, Any]
    peer_aid: str
    agent_id: str

    @property
    def jti(self) -> str:
        return str(self.claims["jti"])

    @property
    def size(self) -> int:
        """Bytes of its text and its voucher's, which are ASCII."""
        return len(self.tct) + len(self.voucher or "")

    def lacking(self, wanted: list[str]) -> list[str]:
        """What it does not grant of these; both may be thousands."""
        granted = set(self.claims["grants"])
        return [grant for grant in wanted if grant not in granted]

    def summary(self) -> dict[str, Any]:
        """What may be told: ``{"jti", "grants", "expires_at"}``."""
        return {"jti": self.jti, "grants": list(self.claims["grants"]), "expires_at": self.claims["exp"]}


@dataclass(slots=True)
class _Room:
    """One owner's tokens by number, oldest first, and the bytes that they take."""

    tokens: dict[int, Token] = field(default_factory=dict)
    size: int = 0


class Shelf:
    """Tokens in the order in which they came, each somebody's: of its other side, or of whoever had it made.

    Beyond the bounds one goes of whoever's take most bytes, so that nobody's tokens can push out another's: one that
    has expired if there is one, else the oldest.
    """

    def __init__(self, limit: int = MAX_TOKENS, most_bytes: int = MAX_BYTES) -> None:
        self._limit = limit
        self._most_bytes = most_bytes
        self._size = 0
        self._kept: dict[int, tuple[Token, str]] = {}  # with its owner
        self._rooms: dict[str, _Room] = {}
        self._of_jti: dict[str, list[int]] = {}
        self._added = 0

    def add(self, token: Token, owner: str | None = None) -> list[Token]:
        """Keep it; those that had to go for it. ``owner``: whose it counts as, if not its other side's."""
        gone = []
        while self._kept and (len(self) >= self._limit or self._size + token.size > self._most_bytes):
            gone.append(self._make_room())
        number, owner = self._added, owner or canonical(token.peer_aid)
        self._added += 1
        self._kept[number] = token, owner
        room = self._rooms.setdefault(owner, _Room())
        room.tokens[number] = token
        room.size += token.size
        self._size += token.size
        self._of_jti.setdefault(token.jti, []).append(number)
        return gone

    def remove(self, token: Token) -> None:
        """Forget this very one, if it is there: the id of a held token is what its issuer made it."""
        for number in [number for number in self._of_jti.get(token.jti, ()) if self._kept[number][0] is token]:
            self._forget(number)

    def of_agent(self, agent_id: str) -> Iterator[Token]:
        """Newest first, under whatever AID that agent had."""
        return (token for token, _ in reversed(self._kept.values()) if token.agent_id == agent_id)

    def of_owner(self, owner: str) -> Iterator[Token]:
        """Oldest first."""
        return iter(self._rooms[owner].tokens.values() if owner in self._rooms else ())

    def with_jti(self, jti: str) -> Token | None:
        """The newest of that id, of which there is more than one only if an issuer made it so."""
        numbers = self._of_jti.get(jti)
        return self._kept[numbers[-1]][0] if numbers else None

    def __iter__(self) -> Iterator[Token]:
        """Oldest first."""
        return (token for token, _ in self._kept.values())

    def __len__(self) -> int:
        return len(self._kept)

    def _make_room(self) -> Token:
        fullest, now = max(self._rooms.values(), key=lambda room: room.size).tokens, time.time()
        expired = (number for number, token in fullest.items() if token.claims["exp"] < now)
        return self._forget(next(expired, next(iter(fullest))))

    def _forget(self, number: int) -> Token:
        token, owner = self._kept.pop(number)
        self._of_jti[token.jti].remove(number)
        if not self._of_jti[token.jti]:
            del self._of_jti[token.jti]
        room = self._rooms[owner]
        del room.tokens[number]
        room.size -= token.size
        self._size -= token.size
        if not room.tokens:
            del self._rooms[owner]
        return token


class TokenBook:
    """``held``: issued to this agent by peers. ``issued``: by this agent to peers."""

    def __init__(self) -> None:
        self.held = Shelf()
        self.issued = Shelf()

    def clear(self) -> None:
        """Forget them all: the key they hung on is gone."""
        self.held, self.issued = Shelf(), Shelf()

    def own(self) -> dict[str, float]:
        """When the tokens expire that this agent issued, in Unix seconds by id in lower case."""
        return _expiries(self.issued)

    def held_from(self, issuer: str) -> dict[str, float]:
        """The same of those that it holds of one peer's (an AID)."""
        return _expiries(self.held.of_owner(canonical(issuer)))

    def known(self) -> dict[str, float]:
        """The same of all; of several with one id, which is its issuer's choice, the last."""
        return {**_expiries(sorted(self.held, key=lambda token: token.claims["exp"])), **self.own()}


def _expiries(tokens: Iterable[Token]) -> dict[str, float]:
    return {token.jti.lower(): token.claims["exp"] for token in tokens}
