"""What the parts of one agent that take part in the protocol have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from base.http.peer_client import PeerClient
from base.protocol.identity import Identity
from base.protocol.issuer_lists import IssuerLists
from base.protocol.peers import PeerBook
from base.protocol.redeemed import RedeemedBook
from base.protocol.revocation import RevocationState
from base.protocol.revocation_record import RevocationRecord
from base.protocol.tokens import Shelf, Token, TokenBook
from base.telemetry import Telemetry

#: Who found that a handshake failed, this agent or its peer; or that the book was full.
Because = Literal["handshake_failed", "peer_failed_it", "no_room"]
Side = Literal["issued", "held"]


@dataclass(frozen=True, slots=True)
class Shared:
    """One agent's key, whom it knows, what it holds and issued, what is revoked, and its ways to speak."""

    identity: Identity
    peers: PeerBook
    tokens: TokenBook
    revocations: RevocationState
    client: PeerClient
    telemetry: Telemetry
    issuer_lists: IssuerLists
    redeemed: RedeemedBook
    record: RevocationRecord

    def keep(self, token: Token, side: Side, owner: str | None = None) -> None:
        """Write a token down; ``owner``: whose it counts as, if not its other side's. What had to go for it is told."""
        for gone in self._shelf(side).add(token, owner):
            self._report_dropped(gone, side, "no_room")

    def drop(self, token: Token, side: Side, because: Because) -> None:
        """Forget a token of a handshake that came to nothing; one that this agent issued is revoked too."""
        self._shelf(side).remove(token)
        if side == "issued":
            self._revoke(token)
        self._report_dropped(token, side, because)

    def _shelf(self, side: Side) -> Shelf:
        return self.tokens.issued if side == "issued" else self.tokens.held

    def _report_dropped(self, token: Token, side: Side, because: Because) -> None:
        self.telemetry.emit(
            "tct.dropped",
            jti=token.jti,
            aid=token.peer_aid,
            target=token.agent_id,
            payload={"because": because, "side": side},
        )

    def _revoke(self, token: Token) -> None:
        """On the list, while it has room that handshakes may take: a peer can make as many fail as it likes."""
        if self.revocations.is_half_full:
            self.revocations.withhold(token, failed=True)
        else:
            self.revocations.revoke(token.jti, "the handshake failed", expires_at=token.claims["exp"])
