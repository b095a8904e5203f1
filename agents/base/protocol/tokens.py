"""The tokens this agent holds and those it issued, by peer AID and by agent id, newest first.

AITP calls the token itself a TCT (Trust Context Token); its grant voucher is what a delegation is built from.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

MAX_TOKENS = 4096


def decode_claims(token: Any) -> dict[str, Any]:
    """The claims of a compact JWS, *unverified*. Raises ``ValueError``."""
    return decode_segment(token, 1)


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

    def summary(self) -> dict[str, Any]:
        """What may be told: ``{"jti", "grants", "expires_at"}``."""
        return {"jti": self.jti, "grants": list(self.claims["grants"]), "expires_at": self.claims["exp"]}


class Shelf:
    """Tokens in the order in which they came; beyond the bound the oldest goes."""

    def __init__(self, limit: int = MAX_TOKENS) -> None:
        self._tokens: deque[Token] = deque(maxlen=limit)

    def add(self, token: Token) -> None:
        self._tokens.append(token)

    def remove(self, token: Token) -> None:
        """Forget this very one, if it is there: the id of a held token is what its issuer made it."""
        self._tokens = deque((known for known in self._tokens if known is not token), maxlen=self._tokens.maxlen)

    def of_agent(self, agent_id: str) -> Iterator[Token]:
        """Newest first, under whatever AID that agent had."""
        return (token for token in reversed(self._tokens) if token.agent_id == agent_id)

    def of_aid(self, aid: str) -> Iterator[Token]:
        """Newest first."""
        return (token for token in reversed(self._tokens) if token.peer_aid == aid)

    def with_jti(self, jti: str) -> Token | None:
        return next((token for token in reversed(self._tokens) if token.jti == jti), None)

    def __iter__(self) -> Iterator[Token]:
        """Oldest first."""
        return iter(self._tokens)

    def __len__(self) -> int:
        return len(self._tokens)


class TokenBook:
    """``held``: issued to this agent by peers. ``issued``: by this agent to peers."""

    def __init__(self) -> None:
        self.held = Shelf()
        self.issued = Shelf()

    def expiries(self) -> dict[str, float]:
        """When each of them expires, in Unix seconds, by its id in lower case."""
        return {token.jti.lower(): token.claims["exp"] for token in (*self.held, *self.issued)}
