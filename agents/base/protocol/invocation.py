"""Calling a peer's capability: with the newest token held from it and a proof of possession, or with nothing."""

from __future__ import annotations

import base64
import json
from typing import Any, Literal
from urllib.parse import quote

from base.http.peer_client import CALL_TIMEOUT, MAX_ANSWER, Answer, PeerClient
from base.http.step_mark import to_pass_on
from base.protocol.identity import Identity
from base.protocol.manifests import fetch_manifest
from base.protocol.peers import Peer, PeerBook
from base.protocol.possession import RESPONSE, read_challenge
from base.protocol.tokens import Token, TokenBook
from base.refusals import Fault, PeerFailed, Refusal, sdk_code

CHALLENGE_PATH = "/aitp/pop/challenge"
TCT_HEADER = "X-AITP-TCT"
#: For the SDK's bare response, and for the envelope: RFC-AITP-0005, section 6.3, suggests the second. Both are read.
BARE_POP_HEADER = "X-AITP-PoP"
POP_HEADER = "X-AITP-PoP-Response"
POP_HEADERS = (POP_HEADER, BARE_POP_HEADER)


class Invoker:
    """The caller's side of a capability call."""

    def __init__(self, identity: Identity, peers: PeerBook, tokens: TokenBook, client: PeerClient) -> None:
        self._identity = identity
        self._peers = peers
        self._tokens = tokens
        self._client = client

    async def invoke(
        self,
        agent_id: str,
        capability: str,
        task: dict[str, Any],
        *,
        present: Literal["held", "none"],
        manifest_url: str | None = None,
    ) -> dict[str, Any]:
        """``{"status_code", "body", "presented_jti"?}``, whatever the status.

        With a ``manifest_url`` the peer is looked up there anew: fetched, verified, its AID still the pinned one.
        Raises 409 ``no_tct_held``, and :class:`PeerFailed` when there was no HTTP answer or one that is not JSON.
        """
        peer = self._peers.named(agent_id)
        base = peer.base_url
        if manifest_url is not None:
            base = (await fetch_manifest(self._client, peer, manifest_url)).origin
        if present == "none":
            return _outcome(await self._call(base, capability, task, {}))
        token = self._newest(peer)
        answer = await self._challenge(base, token)
        if 200 <= answer.status < 300:
            self._peers.require_still(peer)
            headers = {TCT_HEADER: token.tct, **self._prove(answer.expect_json(), token, peer)}
            answer = await self._call(base, capability, task, headers)
        return _outcome(answer) | {"presented_jti": token.jti}

    def _newest(self, peer: Peer) -> Token:
        token = next(self._tokens.held.of_agent(peer.agent_id), None)
        if token is None:
            raise Fault(409, "no_tct_held", f"no token was received from {peer.agent_id}")
        return token

    async def _challenge(self, base: str, token: Token) -> Answer:
        return await self._client.post(base + CHALLENGE_PATH, "{}", {TCT_HEADER: token.tct, **to_pass_on()})

    def _prove(self, answer: Answer, token: Token, peer: Peer) -> dict[str, str]:
        """Answer the challenge, in the form that it has: the SDK signs any.

        An envelope must be the peer's own, and either form about the token that was shown: the proof is over a nonce
        alone, so it would serve whoever it is passed on to.
        """
        try:
            challenge = read_challenge(answer.text(), peer.aid)
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
        if challenge.bare:
            return {BARE_POP_HEADER: base64url(response)}
        return {POP_HEADER: base64url(agent.sign_envelope(RESPONSE, response))}

    async def _call(self, base: str, capability: str, task: dict[str, Any], headers: dict[str, str]) -> Answer:
        url = f"{base}/capabilities/{quote(capability, safe='')}"
        return await self._client.post(
            url, json.dumps(task), {**headers, **to_pass_on()}, timeout=CALL_TIMEOUT, limit=MAX_ANSWER
        )


def base64url(text: str) -> str:
    """RFC 4648, section 5, without padding."""
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _outcome(answer: Answer) -> dict[str, Any]:
    return {"status_code": answer.status, "body": answer.json()}
