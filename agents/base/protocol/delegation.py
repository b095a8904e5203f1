"""Delegating what a peer granted, and redeeming what another agent delegated: the two sides that hold tokens."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

from base.http.peer_client import Answer
from base.http.step_mark import to_pass_on
from base.protocol.delegation_tokens import delegation_jti, reported
from base.protocol.manifests import fetch_manifest
from base.protocol.peers import Peer
from base.protocol.possession import RESPONSE, Challenge, read_challenge
from base.protocol.received import report_received, verified_token
from base.protocol.redemption import CHALLENGE_PATH, REDEEM_PATH
from base.protocol.shared import Shared
from base.protocol.tokens import decode_claims
from base.refusals import Fault, PeerFailed, Refusal, first_line, protocol_errors


class Delegations:
    """The delegator's and the delegatee's part."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def delegate(
        self, delegatee: str, via_peer: str, scope: list[str], ttl_secs: int | None, manifest_url: str | None = None
    ) -> dict[str, Any]:
        """Delegate ``scope`` to a peer, out of the newest grant voucher that ``via_peer`` gave.

        ``{"delegation_token", "delegatee_aid", "scope", "jti", "parent_jti", "expires_at"}``. Raises 409
        ``no_voucher_held``, and 409 ``delegation_refused`` when the voucher does not cover it. With a ``manifest_url``
        the delegatee is looked up there first.
        """
        peer = self._shared.peers.named(delegatee)
        if manifest_url is not None:
            await fetch_manifest(self._shared.client, peer, manifest_url)
        voucher = self._newest_voucher(via_peer)
        granted = decode_claims(voucher)
        try:
            token = self._shared.identity.agent().build_delegation(voucher, peer.aid, scope, ttl_secs=ttl_secs)
        except (ValueError, RuntimeError) as error:
            grants = granted.get("grants")
            missing = sorted(set(scope) - set(map(str, grants if isinstance(grants, list) else ())))
            details = {"not_granted": missing} if missing else None
            raise Fault(409, "delegation_refused", first_line(error), details) from error
        claims = decode_claims(token)
        if claims["exp"] <= time.time():
            raise Fault(409, "delegation_refused", "the voucher has expired")
        jti, parent = delegation_jti(token), str(granted["src_jti"])
        self._report_issued(claims, jti, parent, peer)
        return {
            "delegation_token": token,
            "delegatee_aid": peer.aid,
            "scope": list(claims["scope"]),
            "jti": jti,
            "parent_jti": parent,
            "expires_at": claims["exp"],
        }

    def _newest_voucher(self, agent_id: str) -> str:
        held = self._shared.tokens.held.of_agent(agent_id)
        voucher = next((token.voucher for token in held if token.voucher), None)
        if voucher is None:
            raise Fault(409, "no_voucher_held", f"no grant voucher was received from {agent_id[:100]}")
        return voucher

    def _report_issued(self, claims: dict[str, Any], jti: str, parent: str, delegatee: Peer) -> None:
        self._shared.telemetry.emit(
            "delegation.issued",
            target=delegatee.agent_id,
            aid_a=self._shared.identity.aid,
            aid_b=delegatee.aid,
            jti=jti,
            grants=list(claims["scope"]),
            payload={
                # A Control Plane takes these before the claims, and before any shorter name: only AIDs may stand here.
                "delegator_aid": self._shared.identity.aid,
                "delegatee_aid": delegatee.aid,
                "scope": list(claims["scope"]),
                "parent_jti": parent,
                "delegation": {"claims": reported(claims)},
            },
        )

    async def redeem(self, target: str, delegation: str, manifest_url: str | None = None) -> dict[str, Any]:
        """Redeem at ``target``; the token and its voucher are then held like any other.

        ``{"ok": True, "peer_aid", "grants", "jti", "expires_at"}``. Raises :class:`PeerFailed`, with the target's own
        code when it refused. With a ``manifest_url`` the target is looked up there anew.
        """
        peer = self._shared.peers.named(target)
        if manifest_url is None:
            base, look = peer.base_url, self._shared.issuer_lists.begin_at_its_manifest(peer)
        else:
            manifest = await fetch_manifest(self._shared.client, peer, manifest_url)
            base, look = manifest.origin, self._shared.issuer_lists.begin(peer, manifest.revocation_list)
        body = json.dumps({"delegation_token": delegation})
        challenge = (await self._shared.client.post(base + CHALLENGE_PATH, body, to_pass_on())).expect_json(peer.aid)
        proof = self._prove(challenge, delegation, peer)
        answer = (await self._shared.client.post(base + REDEEM_PATH, proof, to_pass_on())).expect_json(peer.aid)
        token = await verified_token(self._shared, answer, peer, look)
        self._shared.peers.require_still(peer)
        if self._shared.tokens.held.with_jti(token.jti) is None:
            self._shared.keep(token, "held")
            report_received(self._shared, token, "redeemed", _source_of(delegation))
        return {"ok": True, "peer_aid": peer.aid} | token.summary()

    def _prove(self, answer: Answer, delegation: str, peer: Peer) -> str:
        """Answer the challenge for a delegation: the nonce, signed together with the delegation and its owner.

        A bare challenge, which agents like this one used to give, says in full what it is about, and has no id that
        the standard's own signature could name.
        """
        try:
            challenge = read_challenge(answer.text(), peer.aid)
        except Refusal as refusal:
            code = refusal.registry_code if refusal.code == "stale" else "POP_CHALLENGE_INVALID"
            raise PeerFailed("protocol", str(refusal), url=answer.url, peer_code=code) from refusal
        given, agent = challenge.payload, self._shared.identity.agent()
        if not isinstance(given.get("nonce"), str) or not self._is_about(challenge, delegation, peer):
            message = "the challenge is about another delegation"
            raise PeerFailed("protocol", message, url=answer.url, peer_code="challenge_mismatch")
        proof = {"delegation_token": delegation, "nonce_echo": given["nonce"], "audience": peer.aid}
        with protocol_errors(answer.url):
            if not challenge.bare:
                proof |= json.loads(agent.sign_pop_response(json.dumps(given)))
            return agent.sign_envelope(RESPONSE, json.dumps(proof))

    def _is_about(self, challenge: Challenge, delegation: str, peer: Peer) -> bool:
        """Whether a challenge may be for this delegation at this peer.

        An owner gives a delegation an id of its own choosing, but none of a token that is held here: its nonce might be
        another agent's, who would take the answer for a proof of that token.
        """
        given = challenge.payload
        if not challenge.bare:
            return self._shared.tokens.held.with_jti(str(given.get("tct_jti"))) is None
        expected = {"delegation_sha256": hashlib.sha256(delegation.encode()).hexdigest(), "audience": peer.aid}
        return given | expected == given


def _source_of(delegation: str) -> str | None:
    """Which token a delegation is of, by its own word: the owner has verified it."""
    try:
        return str(decode_claims(decode_claims(delegation)["voucher"])["src_jti"])
    except (ValueError, KeyError):
        return None
