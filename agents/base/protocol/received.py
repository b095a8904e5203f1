"""What a token that another agent gave must be before it is kept."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from base.aids import same_key
from base.http.peer_client import Answer
from base.protocol.issuer_lists import Look
from base.protocol.peers import Peer
from base.protocol.shared import Shared
from base.protocol.tokens import Token, decode_claims
from base.refusals import Refusal, protocol_errors

#: Seconds for which to wait for a token whose issuer's clock is ahead of ours: RFC-AITP-0005, section 7.2, looks at no
#: ``iat``, but the SDK refuses a token that was "issued" in the next second.
CLOCK_LEAD = 5.0
#: As many as are told of.
_LONGEST = 10**9


def token_with(tct: str, voucher: str | None, peer: Peer) -> Token:
    """A token exchanged with ``peer``, in either direction. Raises ``ValueError`` for what is no token."""
    return Token(tct=tct, voucher=voucher, claims=decode_claims(tct), peer_aid=peer.aid, agent_id=peer.agent_id)


def belongs(token: Token, own_aid: str) -> bool:
    """Whether the token is from that peer, for this agent; and its voucher, if there is one, goes with it.

    An issuer need not give a voucher (RFC-AITP-0004, section 3.3): its token just cannot be delegated.
    """
    claims = token.claims
    if not (
        same_key(claims["iss"], token.peer_aid) and same_key(claims["sub"], own_aid) and claims["aud"] == claims["sub"]
    ):
        return False
    if not token.voucher:
        return True
    voucher = decode_claims(token.voucher)
    return (
        same_key(voucher.get("iss"), token.peer_aid)
        and same_key(voucher.get("sub"), own_aid)
        and voucher.get("src_jti") == claims["jti"]
    )


async def await_clock(claims: dict[str, Any]) -> None:
    """Wait for our clock to reach the second in which an honest peer, ahead of us, issued its token.

    Raises ``clock_skew`` when that is further away than is worth a wait.
    """
    issued_at, now = claims.get("iat"), time.time()
    # Compared before anything is computed: a number out of a token can be larger than any that can be computed with.
    if not isinstance(issued_at, int) or issued_at <= now:
        return
    if issued_at > now + CLOCK_LEAD:
        seconds = min(issued_at - int(now), _LONGEST)
        raise Refusal("clock_skew", f"the token was issued {seconds} seconds from now", seconds=seconds)
    await asyncio.sleep(issued_at - now + 0.01)


def report_received(shared: Shared, token: Token, how: str, parent_jti: str | None) -> None:
    """Tell the log that a token is held that came of no handshake."""
    shared.telemetry.emit(
        "tct.received",
        target=token.agent_id,
        aid=token.peer_aid,
        jti=token.jti,
        grants=list(token.claims["grants"]),
        payload={"how": how, "parent_jti": parent_jti, "tct": {"claims": token.claims}},
    )


async def verified_token(shared: Shared, answer: Answer, peer: Peer, look: Look) -> Token:
    """The token in ``answer`` (``{"tct", "grant_voucher"?}``), verified as its holder once the peer's list is there.

    Raises :class:`PeerFailed`, ``clock_skew`` and ``revocation_unknown``.
    """
    with protocol_errors(answer.url):
        given = answer.json()
        token = token_with(given["tct"], given.get("grant_voucher"), peer)
        grant, jti = next(iter(token.claims["grants"]), ""), token.jti
    await await_clock(token.claims)
    await look.settle()
    with protocol_errors(answer.url):
        deny = shared.revocations.deny(jti, peer.aid)
        shared.identity.agent().verify_tct(token.tct, grant, revoked_jtis=deny)
        if not belongs(token, shared.identity.aid):
            raise ValueError("the token or its voucher is not ours")
    return token
