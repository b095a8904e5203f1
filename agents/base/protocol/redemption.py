"""Redeeming a delegation: the resource owner's side.

A delegation token is a bearer text, and the SDK mints for whoever shows a verified one. Here the delegatee proves its
key over this delegation, this owner and a nonce of this owner's; the delegator is looked up where the service said it
is; the token minted lives no longer than the delegation; and each delegation is good for one token.
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aitp

from base.protocol.envelopes import Door, Envelope, read_envelope
from base.protocol.manifests import fetch_manifest
from base.protocol.peers import Peer
from base.protocol.received import token_with
from base.protocol.shared import Shared
from base.protocol.tokens import Token, decode_claims
from base.protocol.verification import CHALLENGE_SECS, ChallengeBook
from base.refusals import Fault, RedemptionRefusal, Refusal, first_line, malformed, sdk_code

CHALLENGE_PATH = "/aitp/delegation/challenge"
REDEEM_PATH = "/aitp/delegation/redeem"
#: The envelope type of the proof: the SDK signs its own types only, and this one says what it is.
PROOF_TYPE = "pop_response"
MAX_REMEMBERED = 10_000


class RedeemedBook:
    """Delegations that were redeemed, or are being redeemed just now, until they would have expired."""

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._limit = limit
        self._until: dict[bytes, float] = {}

    @contextmanager
    def claim(self, delegation: str) -> Iterator[dict[str, Any]]:
        """Hold the delegation; it counts as redeemed once the body sets ``expires_at`` in what it is given.

        Raises ``delegation_redeemed``, or 503 when there are too many to remember: to forget one would be to redeem it
        again.
        """
        key = fingerprint(delegation)
        if key in self._until:
            raise RedemptionRefusal("delegation_redeemed", "this delegation was redeemed before")
        if len(self._until) >= self._limit:
            now = time.time()
            self._until = {known: until for known, until in self._until.items() if until >= now}
        if len(self._until) >= self._limit:
            raise Fault(503, "overloaded", "too many delegations in a short time; try again later")
        self._until[key] = math.inf
        outcome: dict[str, Any] = {}
        try:
            yield outcome
        finally:
            if "expires_at" in outcome:
                self._until[key] = outcome["expires_at"]
            else:
                del self._until[key]


class Redemptions:
    """Gives out challenges for delegations and turns a proven one into a token of the delegatee's own."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._door = Door(shared.peers)
        self._challenges = ChallengeBook()
        self._redeemed = RedeemedBook()

    def challenge(self, delegation: str) -> dict[str, Any]:
        """A nonce for this delegation, good once; it says nothing about whether the delegation is any good."""
        nonce = secrets.token_urlsafe(24)
        self._challenges.add(json.dumps({"nonce": nonce}), delegation)
        return {
            "delegation_sha256": hashlib.sha256(delegation.encode()).hexdigest(),
            "nonce": nonce,
            "audience": self._shared.identity.aid,
            "expires_at": int(time.time()) + CHALLENGE_SECS,
        }

    async def redeem(self, raw: str) -> dict[str, Any]:
        """``{"tct", "grant_voucher"}`` for the delegatee that sent ``raw``. A refusal is reported, then raised."""
        envelope = read_envelope(raw)
        aid = envelope.sender
        delegation: str | None = None
        try:
            delegation = self._prove(envelope)
            return await self._redeem(delegation, self._shared.peers.sender(aid))
        except Fault as fault:
            if fault.status != 400:
                self._report_rejected(fault, aid, delegation)
            raise

    def _prove(self, envelope: Envelope) -> str:
        """The delegation, once the delegatee's key has answered this agent's own challenge for it."""
        try:
            self._door.let_in(envelope, frozenset({PROOF_TYPE}))
        except Refusal as refusal:
            if refusal.code != "handshake_refused":
                raise
            raise RedemptionRefusal("pop_invalid", str(refusal), sdk_code=refusal.details.get("sdk_code")) from refusal
        parts = envelope.payload
        delegation, nonce, audience = (parts.get(name) for name in ("delegation_token", "nonce_echo", "audience"))
        if not (isinstance(delegation, str) and isinstance(nonce, str) and isinstance(audience, str)):
            raise malformed("not a redemption: delegation_token, nonce_echo and audience are texts")
        if audience != self._shared.identity.aid:
            raise RedemptionRefusal("pop_invalid", "the proof was made for another agent")
        if self._challenges.take(nonce, delegation) is None:
            raise RedemptionRefusal("pop_invalid", "no such challenge is open for this delegation")
        return delegation

    async def _redeem(self, delegation: str, delegatee: Peer) -> dict[str, Any]:
        claims, source = _read(delegation)
        if claims.get("sub") != delegatee.aid:
            raise RedemptionRefusal("pop_invalid", "the delegation is for another key")
        if str(claims.get("aud")) not in self._shared.identity.own_aids:
            raise RedemptionRefusal("wrong_audience", "the delegation is for another agent to redeem")
        if str(source.get("iss")) not in self._shared.identity.own_aids:
            raise RedemptionRefusal("wrong_issuer", "another agent granted what is delegated")
        delegator = self._shared.peers.sender(str(claims.get("iss")))
        with self._redeemed.claim(delegation) as outcome:
            manifest = await fetch_manifest(self._shared.client, delegator, delegator.manifest_url)
            # From here on nothing waits: what is revoked now is revoked before the token is minted.
            self._shared.revocations.require_fresh()
            verified = self._verify(delegation, claims, source, manifest.raw)
            minted = self._mint(verified, str(source["src_jti"]), delegatee)
            await self._shared.record.save()
            outcome["expires_at"] = verified.expires_at
        about = {
            "parent_jti": str(source["src_jti"]),
            "delegation_jti": delegation_jti(delegation),
            "delegation": {"claims": told(claims)},
        }
        self._report_redeemed(minted, delegator, delegatee, about)
        return {"tct": minted.tct, "grant_voucher": minted.voucher}

    def _verify(
        self, delegation: str, claims: dict[str, Any], source: dict[str, Any], manifest: str
    ) -> aitp.DelegationVerified:
        src_jti = str(source.get("src_jti"))
        try:
            verified = aitp.verify_delegation(
                delegation, claims["aud"], [manifest], revoked_jtis=self._shared.revocations.deny(src_jti)
            )
        except (ValueError, RuntimeError) as error:
            raise self._explain(error, claims, src_jti) from error
        if withdrawn := set(verified.grants) - set(self._shared.identity.offered):
            # The SDK mints all that was delegated or nothing.
            raise RedemptionRefusal("grant_missing", f"no longer offered: {', '.join(sorted(withdrawn))}")
        return verified

    def _explain(self, error: Exception, claims: dict[str, Any], src_jti: str) -> RedemptionRefusal:
        """The SDK names only a revocation."""
        code = sdk_code(error)
        if code == "DELEGATION_SOURCE_TCT_REVOKED":
            said = self._shared.revocations.source_of(src_jti)
            return RedemptionRefusal("tct_revoked", "the token it was delegated from was revoked", source=said)
        expires_at = claims.get("exp")
        if isinstance(expires_at, int) and expires_at < time.time():
            return RedemptionRefusal("tct_expired", "the delegation has expired")
        return RedemptionRefusal("tct_invalid", first_line(error), sdk_code=code)

    def _mint(self, verified: aitp.DelegationVerified, src_jti: str, delegatee: Peer) -> Token:
        """A token that ends with the delegation; it falls with the token it was delegated from."""
        lineage = self._shared.revocations.lineage
        lineage.make_room()
        left = verified.expires_at - math.ceil(time.time())
        if left < 1:
            raise RedemptionRefusal("tct_expired", "the delegation has expired")
        given = json.loads(self._shared.identity.agent().issue_tct_for_delegatee(verified, ttl_secs=left))
        minted = token_with(given["tct"], given["grant_voucher"], delegatee)
        lineage.record(minted.jti, src_jti, minted.claims["exp"], "redeemed")
        self._shared.tokens.issued.add(minted)
        return minted

    def _report_redeemed(self, minted: Token, delegator: Peer, delegatee: Peer, about: dict[str, Any]) -> None:
        self._shared.telemetry.emit(
            "delegation.redeemed",
            initiator=delegator.agent_id,
            target=delegatee.agent_id,
            aid_a=delegator.aid,
            aid_b=delegatee.aid,
            jti=minted.jti,
            grants=minted.summary()["grants"],
            payload={
                "delegator": delegator.agent_id,
                "delegatee": delegatee.agent_id,
                "tct": {"claims": minted.claims},
                **about,
            },
        )

    def _report_rejected(self, fault: Fault, aid: str, delegation: str | None) -> None:
        try:
            delegator = str(decode_claims(delegation or "").get("iss"))
        except ValueError:
            delegator = ""
        named = {
            "delegatee": self._shared.peers.agent_id_of(aid),
            "delegator": self._shared.peers.agent_id_of(delegator),
        }
        known = {name: agent_id for name, agent_id in named.items() if agent_id is not None}
        told = fault.told() if isinstance(fault, Refusal) else {"code": fault.code, **fault.details}
        self._shared.telemetry.emit_refusal(
            "delegation.rejected",
            initiator=known.get("delegator"),
            target=known.get("delegatee"),
            aid=aid[:100],
            error=str(fault),
            payload={**told, **known},
        )


def fingerprint(delegation: str) -> bytes:
    """What makes two delegation tokens the same one: all but the signature, of which a key can make several."""
    return hashlib.sha256(delegation.rpartition(".")[0].encode()).digest()


def delegation_jti(token: str) -> str:
    """A version 4 UUID for a delegation token, which has none of its own; the same each time it is asked for."""
    return str(uuid.UUID(bytes=hashlib.sha256(token.encode()).digest()[:16], version=4))


def told(claims: dict[str, Any]) -> dict[str, Any]:
    """A delegation's claims as they may be reported: the voucher inside is a token, so its claims stand in for it."""
    return claims | {"voucher": decode_claims(claims["voucher"])} if "voucher" in claims else claims


def _read(delegation: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Its claims and those of the voucher inside, unverified. Raises ``tct_invalid``."""
    try:
        claims = decode_claims(delegation)
        return claims, decode_claims(claims.get("voucher"))
    except ValueError:
        raise RedemptionRefusal("tct_invalid", "not a delegation token") from None
