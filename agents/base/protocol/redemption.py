"""Redeeming a delegation: the resource owner's side (RFC-AITP-0006, sections 4 and 8).

A delegation token is a bearer text, and the SDK mints for whoever shows a verified one. Here the delegatee, whoever it
is, proves its key over this delegation, this owner and a nonce of this owner's; the delegator's manifest is looked up
where the service said it is, or is the one with which it once came; the token minted lives no longer than the
delegation; and each delegation is good for one token, which its delegatee may fetch again.
"""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aitp

from base.aids import same_key
from base.protocol.budgets import STRANGERS
from base.protocol.delegation_tokens import Delegation, delegation_jti, read_delegation
from base.protocol.delegators import Delegators
from base.protocol.diagnosis import delegation_defect, said_of_claims
from base.protocol.envelopes import Door, Envelope, disclosing, read_envelope
from base.protocol.peers import Peer
from base.protocol.possession import (
    CHALLENGE,
    CHALLENGE_SECS,
    RESPONSE,
    ChallengeBook,
    Proof,
    stand_in,
    verify_proof,
)
from base.protocol.received import token_with
from base.protocol.redeemed import Redeemed
from base.protocol.redemption_reports import RedemptionReports
from base.protocol.shared import Shared
from base.protocol.tokens import Token, decode_claims
from base.refusals import Fault, RedemptionRefusal, Refusal, first_line, malformed, sdk_code
from base.registry_codes import RefusalCode

CHALLENGE_PATH = "/aitp/delegation/challenge"
REDEEM_PATH = "/aitp/delegation/redeem"
_NONCE_BYTES = 16


class Redemptions:
    """Gives out challenges for delegations and turns a proven one into a token of the delegatee's own.

    ``redelegation``: how often what was redeemed here may be passed on; beyond that a token comes without a voucher.
    """

    def __init__(self, shared: Shared, redelegation: int = 0) -> None:
        self._shared = shared
        self._reports = RedemptionReports(shared.telemetry, shared.peers)
        self._redelegation = redelegation
        self._door = Door(shared.peers)
        self._challenges = ChallengeBook()
        self._redeemed = shared.redeemed
        self._delegators = Delegators(shared)

    def forget(self) -> None:
        """Drop the challenges that are open: the key has changed."""
        self._challenges = ChallengeBook()

    async def close(self) -> None:
        await self._delegators.close()

    def challenge(self, delegation: str) -> str:
        """A signed ``pop_challenge`` for this delegation, good once; it says nothing about whether that is any good.

        A delegation has no id, so ``tct_jti`` is one that is made from it.
        """
        challenge = json.dumps(
            {
                "tct_jti": delegation_jti(delegation),
                "nonce": secrets.token_urlsafe(_NONCE_BYTES),
                "expires_at": int(time.time()) + CHALLENGE_SECS,
            }
        )
        self._challenges.add(challenge, delegation, self._delegator_of_own(delegation))
        return self._shared.identity.agent().sign_envelope(CHALLENGE, challenge)

    async def redeem(self, raw: str) -> dict[str, Any]:
        """``{"tct", "grant_voucher"?}`` for the delegatee that sent ``raw``. A refusal is reported, then raised."""
        envelope = read_envelope(raw)
        text = envelope.payload.get("delegation_token")
        try:
            self._let_in(envelope)
            with disclosing(self._may_be_told, envelope):
                if not isinstance(text, str):
                    raise malformed("not a redemption: delegation_token is not a text")
                delegation = read_delegation(text)
                self._prove(envelope, delegation)
            with disclosing(self._is_known, envelope):
                answer = await self._redeem(delegation, envelope.key)
                await self._shared.record.save()
                return answer
        except Fault as fault:
            if fault.status != 400:
                self._reports.rejected(fault, envelope.sender, text)
            raise

    def _delegator_of_own(self, delegation: str) -> str | None:
        """Whose voucher it is that is in a delegation; None when this agent did not give it."""
        try:
            voucher = decode_claims(delegation)["voucher"]
            source = decode_claims(voucher)
            if not self._shared.identity.is_own(source["iss"]):
                return None
            token = self._shared.tokens.issued.with_jti(str(source["src_jti"]))
        except (ValueError, LookupError):
            return None
        return token.peer_aid if token is not None and token.voucher == voucher else None

    def _is_known(self, envelope: Envelope) -> bool:
        return self._shared.peers.introduced(envelope.key)

    def _may_be_told(self, envelope: Envelope) -> bool:
        """Not of what was plainly signed for somebody else, who passes it on: a proof for a call, or for another
        owner."""
        payload, own = envelope.payload, self._shared.identity
        try:
            meant = [decode_claims(payload.get("delegation_token")).get("aud"), payload.get("audience", own.aid)]
        except ValueError:
            return False
        return self._is_known(envelope) and all(own.is_own(aid) for aid in meant)

    def _let_in(self, envelope: Envelope) -> None:
        try:
            self._door.let_in(envelope, frozenset({RESPONSE}))
        except Refusal as refusal:
            if refusal.code != "handshake_refused":
                raise
            raise RedemptionRefusal("pop_invalid", str(refusal), sdk_code=refusal.details.get("sdk_code")) from refusal

    def _prove(self, envelope: Envelope, delegation: Delegation) -> None:
        """Whether the delegatee's key has answered this agent's own challenge for the delegation.

        The envelope's signature binds the nonce to the delegation beside it. What the standard has besides, a
        signature over the nonce alone, is verified when it is there; without it the owner must be named.
        """
        redeemed = self._redeemed.find(delegation.text)
        if redeemed is not None and redeemed.key != envelope.key:
            raise RedemptionRefusal("delegation_redeemed", "this delegation was redeemed by another key")
        if not same_key(delegation.claims.get("sub"), envelope.sender):
            raise RedemptionRefusal("pop_invalid", "the delegation is for another key")
        parts = envelope.payload
        nonce, signature, audience = (parts.get(name) for name in ("nonce_echo", "pop_signature", "audience"))
        if nonce is None:
            raise RedemptionRefusal("pop_required", "the redemption carries no proof of possession")
        if not isinstance(nonce, str) or not (isinstance(audience, str) or (audience is None and signature)):
            raise malformed("not a redemption: nonce_echo is a text, and audience or pop_signature is there")
        if audience is not None and not self._shared.identity.is_own(audience):
            raise RedemptionRefusal("pop_invalid", "the proof was made for another agent")
        with _as_redemption():
            challenge = self._challenges.take(nonce, delegation.text)
            if signature is not None:
                self._verify_response(challenge, parts, envelope.sender)

    def _verify_response(self, challenge: str, parts: dict[str, Any], delegatee: str) -> None:
        response = {name: parts.get(name) for name in ("tct_jti", "nonce_echo", "pop_signature")}
        token = stand_in(delegatee, self._shared.identity.aid, json.loads(challenge)["tct_jti"])
        verify_proof(challenge, Proof(json.dumps(response), parts["nonce_echo"], None), token)

    async def _redeem(self, delegation: Delegation, key: str) -> dict[str, Any]:
        self._require_for_us(delegation)
        if same_key(delegation.claims.get("iss"), str(delegation.claims.get("sub"))):
            raise RedemptionRefusal("tct_invalid", "delegator and delegatee are one key")
        if not self._shared.identity.is_own(delegation.voucher.get("iss")):
            raise RedemptionRefusal("wrong_issuer", "another agent granted what is delegated")
        if (again := self._once_more(delegation, key)) is not None:
            return again
        delegator = self._delegators.find(str(delegation.claims.get("iss")))
        manifest = await self._delegators.manifest_of(delegator)
        self._require_for_us(delegation)  # this agent may have another key by now
        # From here on nothing waits: what is revoked now is revoked before the token is minted, and of several that
        # redeem one delegation at once the first has it minted.
        delegator = self._delegators.find(delegator.aid)  # it may have been taken off the list meanwhile
        if (again := self._once_more(delegation, key)) is not None:
            return again
        self._require_fresh()
        verified = self._verify(delegation, manifest)
        # Guests are strangers here too: any number of keys has one room.
        owner = delegator.key if self._shared.peers.introduced(delegator.aid) else STRANGERS
        minted = self._mint(verified, delegation.source_jti, self._shared.peers.holder(verified.delegatee), owner)
        answer = {"tct": minted.tct} | ({"grant_voucher": minted.voucher} if minted.voucher else {})
        self._redeemed.record(delegation.text, Redeemed(key, minted.jti, verified.expires_at, owner, answer))
        self._reports.redeemed(minted, delegator, delegation)
        return answer

    def _require_for_us(self, delegation: Delegation) -> None:
        if not self._shared.identity.is_own(delegation.claims.get("aud")):
            raise RedemptionRefusal("wrong_audience", "the delegation is for another agent to redeem")

    def _once_more(self, delegation: Delegation, key: str) -> dict[str, Any] | None:
        """What this delegatee got for the delegation before: an answer that was lost is no lost grant."""
        redeemed = self._redeemed.find(delegation.text)
        if redeemed is None or redeemed.key != key:
            return None
        if redeemed.until < time.time():
            raise RedemptionRefusal("tct_expired", "the delegation has expired")
        if source := self._shared.revocations.source_of(redeemed.jti):
            # Its own token was revoked, or the one that it was delegated from.
            registry = None if source == "lineage" else "TCT_REVOKED"
            message = "what it was redeemed for was revoked"
            raise RedemptionRefusal("tct_revoked", message, source=source, registry=registry)
        if redeemed.answer is None:
            message = "it was redeemed before this agent was started anew, and its token is not kept"
            raise RedemptionRefusal("delegation_redeemed", message)
        self._require_fresh()
        return redeemed.answer

    def _require_fresh(self) -> None:
        try:
            self._shared.revocations.require_fresh()
        except Refusal as refusal:
            raise RedemptionRefusal(refusal.refusal, str(refusal)) from refusal

    def _verify(self, delegation: Delegation, manifest: str) -> aitp.DelegationVerified:
        deny = self._shared.revocations.deny(delegation.source_jti)
        try:
            verified = aitp.verify_delegation(delegation.text, delegation.claims["aud"], [manifest], revoked_jtis=deny)
        except (ValueError, RuntimeError) as error:
            raise self._explain(error, delegation) from error
        if withdrawn := set(verified.grants) - set(self._shared.identity.offered):
            # The SDK mints all that was delegated or nothing.
            raise RedemptionRefusal("grant_missing", f"no longer offered: {', '.join(sorted(withdrawn))}")
        if self._shared.revocations.lineage.hops(delegation.source_jti) > self._redelegation:
            raise RedemptionRefusal("delegation_depth", "what was redeemed is passed on here no further")
        return verified

    def _explain(self, error: Exception, delegation: Delegation) -> RedemptionRefusal:
        """The SDK names only a revocation; find out what else it was."""
        code, said = sdk_code(error), first_line(error)
        if said_of_claims(said) and self._shared.revocations.is_withheld(delegation.source_jti):
            return RedemptionRefusal("grant_missing", "what it was delegated from grants nothing")
        if code == "DELEGATION_SOURCE_TCT_REVOKED":
            source = self._shared.revocations.source_of(delegation.source_jti)
            return RedemptionRefusal("tct_revoked", "the token it was delegated from was revoked", source=source)
        found = delegation_defect(delegation.text, self._shared.identity.own_aids, said)
        word: RefusalCode = "tct_expired" if found == "DELEGATION_EXPIRED" else "tct_invalid"
        return RedemptionRefusal(word, said, sdk_code=code, registry=found)

    def _mint(self, verified: aitp.DelegationVerified, source_jti: str, delegatee: Peer, delegator: str) -> Token:
        """A token that ends with the delegation; it falls with the token it was delegated from."""
        lineage = self._shared.revocations.lineage
        self._redeemed.make_room(delegator)
        lineage.make_room()
        left = verified.expires_at - math.ceil(time.time())
        if left < 1:
            raise RedemptionRefusal("tct_expired", "the delegation has expired")
        given = json.loads(self._shared.identity.agent().issue_tct_for_delegatee(verified, ttl_secs=left))
        passed_on = lineage.hops(source_jti) < self._redelegation
        minted = token_with(given["tct"], given["grant_voucher"] if passed_on else None, delegatee)
        lineage.record(minted.jti, source_jti, minted.claims["exp"], "redeemed")
        self._shared.keep(minted, "issued", delegator)
        return minted


@contextmanager
def _as_redemption() -> Iterator[None]:
    """What is wrong with a proof is, of a delegation, one thing only."""
    try:
        yield
    except Refusal as refusal:
        raise RedemptionRefusal("pop_invalid", str(refusal), sdk_code=refusal.details.get("sdk_code")) from refusal
