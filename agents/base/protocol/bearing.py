"""Showing a peer a token that it gave, with a proof of possession (RFC-AITP-0005, section 6.1): the holder's side."""

from __future__ import annotations

import base64
import json

from base.http.peer_client import Answer, PeerClient
from base.http.step_mark import to_pass_on
from base.protocol.identity import Identity
from base.protocol.peers import Peer
from base.protocol.possession import RESPONSE, read_challenge
from base.protocol.tokens import Token, TokenBook
from base.refusals import Fault, PeerFailed, Refusal, sdk_code

CHALLENGE_PATH = "/aitp/pop/challenge"
TCT_HEADER = "X-AITP-TCT"
#: For the SDK's bare response, and for the envelope: RFC-AITP-0005, section 6.3, suggests the second. Both are read.
BARE_POP_HEADER = "X-AITP-PoP"
POP_HEADER = "X-AITP-PoP-Response"
POP_HEADERS = (POP_HEADER, BARE_POP_HEADER)


class Bearer:
    """Proves to a peer that this agent holds a token of that peer's."""

    def __init__(self, identity: Identity, tokens: TokenBook, client: PeerClient) -> None:
        self._identity = identity
        self._tokens = tokens
        self._client = client

    def newest(self, peer: Peer) -> Token:
        """The newest token received from it, under whatever AID. Raises 409 ``no_tct_held``."""
        token = next(self._tokens.held.of_agent(peer.agent_id), None)
        if token is None:
            raise Fault(409, "no_tct_held", f"no token was received from {peer.agent_id}")
        return token

    async def ask(self, base: str, token: Token) -> Answer:
        """The peer's answer to the wish for a challenge, whatever its status."""
        return await self._client.post(base + CHALLENGE_PATH, "{}", {TCT_HEADER: token.tct, **to_pass_on()})

    def headers(self, answer: Answer, token: Token, peer: Peer) -> dict[str, str]:
        """The token and the answer to the challenge, in the form that this has: the SDK signs any.

        An envelope must be the peer's own, and either form about the token that was shown: the proof is over a nonce
        alone, so it would serve whoever it is passed on to. Raises :class:`PeerFailed`.
        """
        try:
            challenge = read_challenge(answer.expect_json().text(), peer.aid)
        except Refusal as refusal:
            code = refusal.registry_code if refusal.code == "stale" else "POP_CHALLENGE_INVALID"
            raise PeerFailed("protocol", str(refusal), url=answer.url, peer_code=code) from refusal
        if challenge.payload.get("tct_jti") != token.jti:
            raise PeerFailed(
                "protocol", "the challenge is about another token", url=answer.url, peer_code="challenge_mismatch"
            )
        agent = self._identity.agent()
        try:
            response = agent.sign_pop_response(json.dumps(challenge.payload))
        except (ValueError, RuntimeError) as error:
            code = sdk_code(error)
            raise PeerFailed("protocol", "the challenge is not usable", url=answer.url, peer_code=code) from error
        shown = {TCT_HEADER: token.tct}
        if challenge.bare:
            return shown | {BARE_POP_HEADER: base64url(response)}
        return shown | {POP_HEADER: base64url(agent.sign_envelope(RESPONSE, response))}


def base64url(text: str) -> str:
    """RFC 4648, section 5, without padding."""
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
