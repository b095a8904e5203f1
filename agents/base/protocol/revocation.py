"""Which tokens are no longer good, and who said so.

Four sources, each of which only ever adds: what this agent revoked itself, the Control Plane's signed list, the signed
list of a token's own issuer, and the lineage, through which any of these reaches what was made from a revoked token.
"""

from __future__ import annotations

import math
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from base.aids import canonical, same_key
from base.process.bootstrap import ControlPlaneConfig, RevocationConfig
from base.protocol.identity import Identity
from base.protocol.lineage import Lineage
from base.protocol.revocation_lists import CLOCK_SKEW, LONGEST_LIFE, IssuerList, read_list
from base.protocol.tokens import Token, TokenBook
from base.refusals import Fault, Refusal, Source

LIST_TTL = 300
#: So many tokens may be withheld before it is worth looking for those that have expired.
FEW = 1024
#: Tokens of one holder that may be withheld before it is given no other.
MAX_WITHHELD = 64

#: Bytes that the lines of this agent's own list may take, of tokens that may be live. Others take no longer one.
MAX_LIST = 512 << 10

Because = Literal["local", "lineage"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of this agent's own list. ``because`` is told to callers, not written into the list.

    ``until``: Unix seconds; the token has expired then, by any clock that is not far off, and the line may go.
    """

    jti: str
    revoked_at: int
    reason: str | None
    because: Because
    until: float

    @property
    def size(self) -> int:
        """Bytes that its line takes at most: an escape for every character of the reason."""
        return 100 + 6 * len(self.reason or "")

    def kept(self) -> list[Any]:
        """What :func:`_entry` reads again. (``astuple`` would take five times as long, and there may be 10,000.)"""
        return [self.jti, self.revoked_at, self.reason, self.because, self.until]

    def listed(self) -> dict[str, str | int]:
        line: dict[str, str | int] = {"jti": self.jti, "revoked_at": self.revoked_at}
        return line | {"reason": self.reason} if self.reason else line


@dataclass(frozen=True, slots=True)
class Withheld:
    """A token that is not honoured: who let its handshake fail, if anybody did, and until when (Unix seconds) it would
    be live."""

    holder: str
    until: float


class RevocationState:
    """The deny set consulted on every verification. ``tokens``: those that this agent knows."""

    def __init__(
        self, config: RevocationConfig, cp: ControlPlaneConfig | None, tokens: TokenBook | None = None
    ) -> None:
        self.lineage = Lineage()
        self._config = config
        self._cp = cp
        self._tokens = tokens or TokenBook()
        self._local: dict[str, Entry] = {}
        self._size = 0
        self._lists: dict[str, IssuerList] = {}
        self._signed: tuple[str, float, str] | None = None  # until when it is given out, and whose it is
        self._changed = 0
        self._withheld: dict[str, Withheld] = {}
        self._withheld_from: Counter[str] = Counter()
        self._look_at = FEW

    def withhold(self, token: Token, *, failed: bool = False) -> None:
        """Not to honour a token that this agent issued because the protocol wants one: it is on no list, since nothing
        was taken from anybody. ``failed``: its holder let the handshake fail, which it may do so often."""
        holder = canonical(token.peer_aid) if failed else ""
        self._withhold(token.jti.lower(), Withheld(holder, token.claims["exp"]))
        self._changed += 1
        if len(self._withheld) > self._look_at:
            self._forget_withheld()
            self._look_at = 2 * len(self._withheld) + FEW

    def _withhold(self, jti: str, withheld: Withheld) -> None:
        self._withheld[jti] = withheld
        self._withheld_from[withheld.holder] += 1

    def require_room_for(self, holder: str) -> None:
        """Whether another handshake of that key may fail. Raises 503 when so many have that this agent would have to
        remember ever more of them."""
        if self._withheld_from[holder] >= MAX_WITHHELD:
            self._forget_withheld()
        if self._withheld_from[holder] >= MAX_WITHHELD:
            message = f"{MAX_WITHHELD} handshakes of this agent failed after a token was issued that is still live"
            raise Fault(503, "overloaded", f"{message}; try again when one has expired")

    def _forget_withheld(self) -> None:
        """Forget those that are no good anyway."""
        now = time.time()
        self._withheld = {jti: one for jti, one in self._withheld.items() if one.until >= now}
        self._withheld_from = Counter(one.holder for one in self._withheld.values())

    def is_withheld(self, jti: str) -> bool:
        """Whether that is so of a token, or of one that it was made from."""
        return any(one in self._withheld for one in (jti.lower(), *self.lineage.ancestors(jti)))

    @property
    def is_half_full(self) -> bool:
        """Whether this agent's list has half the bytes that it may have."""
        return self._size > MAX_LIST // 2

    @property
    def changes(self) -> int:
        """Grows with whatever :meth:`kept` would tell anew."""
        return self._changed + self.lineage.changes

    def revoke(
        self, jti: str, reason: str | None = None, because: Because = "local", *, expires_at: float | None = None
    ) -> bool:
        """Add to this agent's own list; the first time and reason stay. Says whether it was not there before.

        The line goes when the token has expired; when that is not known, after the longest life of one. Raises 503
        when there are too many lines.
        """
        jti, now = jti.lower(), time.time()
        if jti in self._local:
            return False
        end = expires_at or self.lineage.until(jti) or now + LONGEST_LIFE
        entry = Entry(jti, int(now), reason, because, end + CLOCK_SKEW)
        if self._size + entry.size > MAX_LIST:
            self._forget_expired()
        if self._size + entry.size > MAX_LIST:
            message = f"so many live tokens are revoked that their list would have more than {MAX_LIST} bytes"
            raise Fault(503, "overloaded", f"{message}; try again when some have expired")
        self._local[jti] = entry
        self._size += entry.size
        self._changed += 1
        self._signed = None
        return True

    def kept(self) -> dict[str, list[Any]]:
        """What must outlive a restart under the same key, JSON-ready: ``{"revoked", "lineage", "withheld"}``, a list
        per line."""
        self._forget_expired()
        now = time.time()
        return {
            "revoked": [entry.kept() for entry in self._local.values()],
            "lineage": self.lineage.kept(),
            "withheld": [[jti, one.holder, one.until] for jti, one in self._withheld.items() if one.until >= now],
        }

    def restore(self, revoked: list[list[Any]], lineage: list[list[Any]], withheld: list[list[Any]]) -> None:
        """Take in again what :meth:`kept` gave. Raises ``ValueError`` or ``TypeError`` for what it cannot have been."""
        entries = [_entry(line) for line in revoked]
        if sum(entry.size for entry in entries) > 2 * MAX_LIST:  # what earlier versions kept
            raise ValueError("too long a record of revocations")
        self.lineage.restore(lineage)
        for jti, holder, until in withheld:
            if not isinstance(jti, str) or not isinstance(holder, str) or not math.isfinite(until):
                raise ValueError("not a record of tokens that are withheld")
            self._withhold(jti, Withheld(holder, until))
        self._local = {entry.jti: entry for entry in entries}
        self._forget_expired()

    def _forget_expired(self) -> None:
        now = time.time()
        self._local = {jti: entry for jti, entry in self._local.items() if entry.until >= now}
        self._size = sum(entry.size for entry in self._local.values())

    def take_list(self, raw: str, issuer: str) -> None:
        """Take in a list that claims to be of the pinned ``issuer``. Raises ``ListRejectedError``."""
        verified = read_list(raw, issuer)
        self.list_of(issuer).take(verified, self._config.max_staleness_secs)

    def list_of(self, issuer: str) -> IssuerList:
        """What that issuer has said so far."""
        key = canonical(issuer)
        if key not in self._lists:
            of_control_plane = self._cp is not None and same_key(self._cp.aid, issuer)
            tokens = self._tokens
            if of_control_plane:
                self._lists[key] = IssuerList(tokens.known, tokens.own, doubt_empty=True)
            else:
                self._lists[key] = IssuerList(lambda: tokens.held_from(key))
        return self._lists[key]

    def source_of(self, jti: str, issuer: str | None = None) -> Source | None:
        """Who revoked it; None when nobody did. ``issuer``: the peer that issued it, None for this agent's own.

        A peer's list has a say over that peer's tokens alone; the Control Plane's over everybody's.
        """
        jti = jti.lower()
        if said := self._said(jti, issuer):
            return said
        inherited = any(self._said(ancestor, issuer) for ancestor in self.lineage.ancestors(jti))
        return "lineage" if inherited else None

    def _said(self, jti: str, issuer: str | None) -> Source | None:
        if jti in self._local:
            return self._local[jti].because
        if self._cp and self._cp.aid and jti in self._lists.get(canonical(self._cp.aid), ()):
            return "cp-snapshot"
        return "issuer-list" if issuer and jti in self._lists.get(canonical(issuer), ()) else None

    def deny(self, jti: str, issuer: str | None = None) -> set[str]:
        """The deny set to hand to the SDK for a token with this jti: itself, if it was revoked or is withheld.

        The SDK parses the set on every call, so handing it thousands of entries would cost milliseconds each time.
        """
        return {jti} if self.is_withheld(jti) or self.source_of(jti, issuer) else set()

    def require_fresh(self, capability: str | None = None) -> None:
        """Refuse what may not go on while there is no fresh list of the Control Plane's; without one there is none.

        Under ``soft_fail`` the configured safe capabilities may; what is no call (``capability`` None) may not. Raises
        ``revocation_unknown``.
        """
        mode = self._config.fail_mode
        if mode == "fail_open" or (mode == "soft_fail" and capability in self._config.safe_caps):
            return
        if self._cp is not None and self._cp.aid is not None and self.list_of(self._cp.aid).is_fresh:
            return
        why = "no Control Plane to know revocations from" if self._cp is None else "no fresh revocation list"
        means = "fails closed" if mode == "fail_closed" else "then serves only what it was told is safe"
        raise Refusal("revocation_unknown", f"{why}, and this agent {means}")

    def signed_list(self, identity: Identity) -> str:
        """This agent's own list, signed; the same document until it changes or is half-way to its end."""
        now = time.monotonic()
        if self._signed is None or now >= self._signed[1] or self._signed[2] != identity.aid:
            agent = identity.agent()
            self._forget_expired()
            entries = [entry.listed() for entry in self._local.values()]
            signed = agent.sign_revocation_list(entries, expires_in_secs=LIST_TTL)
            self._signed = signed, now + LIST_TTL / 2, identity.aid
        return self._signed[0]


def _entry(line: Any) -> Entry:
    """A line of :meth:`RevocationState.kept`. Raises ``ValueError`` or ``TypeError``."""
    jti, revoked_at, reason, because, until = line
    sound = (
        isinstance(jti, str)
        and jti == str(uuid.UUID(jti))  # the SDK signs no other ids
        and isinstance(revoked_at, int)
        and isinstance(reason, str | None)
        and because in ("local", "lineage")
        and math.isfinite(until)
    )
    if not sound:
        raise ValueError("not a line of a record of revocations")
    return Entry(jti, revoked_at, reason, because, until)
