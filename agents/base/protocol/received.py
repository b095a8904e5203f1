"""What a token that another agent gave must be before it is kept."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from base.protocol.peers import Peer
from base.protocol.tokens import Token, decode_claims

#: Seconds a peer's clock may be ahead: the SDK takes a token "issued" in the next second for an expired one.
CLOCK_LEAD = 2.0


def token_with(tct: str, voucher: str | None, peer: Peer) -> Token:
    """A token exchanged with ``peer``, in either direction. Raises ``ValueError`` for what is no token."""
    return Token(tct=tct, voucher=voucher, claims=decode_claims(tct), peer_aid=peer.aid, agent_id=peer.agent_id)


def belongs(token: Token, own_aid: str) -> bool:
    """Whether token and voucher are from that peer, for this agent, and belong together."""
    if not token.voucher:
        return False
    voucher, claims = decode_claims(token.voucher), token.claims
    return (
        (claims["iss"], claims["sub"], claims["aud"]) == (token.peer_aid, own_aid, own_aid)
        and (voucher.get("iss"), voucher.get("sub")) == (token.peer_aid, own_aid)
        and voucher.get("src_jti") == claims["jti"]
    )


async def await_clock(claims: dict[str, Any]) -> None:
    """Wait for our clock to reach the second in which an honest peer, slightly ahead, issued its token."""
    issued_at = claims.get("iat")
    lead = issued_at - time.time() if isinstance(issued_at, int) else 0.0
    if 0 < lead <= CLOCK_LEAD:
        await asyncio.sleep(lead + 0.01)
