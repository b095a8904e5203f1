"""Redeeming a delegation: the resource owner's side (RFC-AITP-0006, sections 4 and 8).

A delegation token is a bearer text, and the SDK mints for whoever shows a verified one. Here the delegatee, whoever it
is, proves its key over this delegation, this owner and a nonce of this owner's; the delegator's manifest is looked up
where the service said it is, or is the one with which it once came; the token minted lives no longer than the
delegation; and each delegation is good for one token, which its delegatee may fetch again.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aitp

from base.protocol.delegation_proofs import DelegationProofs, as_redemption
from base.protocol.delegation_tokens import Delegation, delegation_jti, read_delegation, reported
from base.protocol.diagnosis import delegation_defect
from base.protocol.envelopes import Door, Envelope, disclose, read_envelope
from base.protocol.manifests import fetch_manifest
from base.protocol.peers import Peer
from base.protocol.possession import RESPONSE
from base.protocol.received import token_with
from base.protocol.redeemed import Redeemed, RedeemedBook
from base.protocol.shared import Shared
from base.protocol.tokens import Token, decode_claims
from base.refusals import Fault, RedemptionRefusal, Refusal, first_line, malformed, sdk_code
from base.registry_codes import RefusalCode

REDEEM_PATH = "/aitp/delegation/redeem"


class Redemptions:
    """Turns a delegation, whose delegatee has proven its key, into a token of the delegatee's own.

    ``redelegation``: how often what was redeemed here may be passed on; beyond that a token comes without a voucher.
    """

    def __init__(self, shared: Shared, redelegation: int = 0) -> None:
        self._shared = shared
        self._redelegation = redelegation
        self._door = Door(shared.peers)
        self.proofs = DelegationProofs(shared.identity, shared.tokens)
        self._redeemed = RedeemedBook()

    async def redeem(self, raw: str) -> dict[str, Any]:
        """``{"tct", "grant_voucher"?}`` for the delegatee that sent ``raw``. A refusal is reported, then raised."""
        envelope = read_envelope(raw)
        text = envelope.payload.get("delegation_token")
        try:
            self._let_in(envelope)
            with self._disclosing(envelope):
                if not isinstance(text, str):
                    raise malformed("not a redemption: delegation_token is not a text")
                delegation = read_delegation(text)
                self._prove(envelope, delegation)
                answer = await self._redeem(delegation, envelope.key)
                await self._shared.record.save()
                return answer
        except Fault as fault:
            if fault.status != 400:
                self._report_rejected(fault, envelope.sender, text)
            raise

    def _let_in(self, envelope: Envelope) -> None:
        try:
            self._door.let_in(envelope, frozenset({RESPONSE}))
        except Refusal as refusal:
            if refusal.code != "handshake_refused":
                raise
            raise RedemptionRefusal("pop_invalid", str(refusal), sdk_code=refusal.details.get("sdk_code")) from refusal

    @contextmanager
    def _disclosing(self, envelope: Envelope) -> Iterator[None]:
        """From here on the sender has proven its key, and may be told why it is refused if it was introduced."""
        try:
            yield
        except Fault as fault:
            disclose(fault, self._shared.peers, envelope.key)
            raise

    def _prove(self, envelope: Envelope, delegation: Delegation) -> None:
        """Whether it is the delegatee who redeems; what somebody else redeemed before is nobody else's."""
        redeemed = self._redeemed.find(delegation.text)
        if redeemed is not None and redeemed.key != envelope.key:
            raise RedemptionRefusal("delegation_redeemed", "this delegation was redeemed by another key")
        self.proofs.check(envelope, delegation)

    async def _redeem(self, delegation: Delegation, key: str) -> dict[str, Any]:
        if not self._shared.identity.is_own(delegation.claims.get("aud")):
            raise RedemptionRefusal("wrong_audience", "the delegation is for another agent to redeem")
        if not self._shared.identity.is_own(delegation.voucher.get("iss")):
            raise RedemptionRefusal("wrong_issuer", "another agent granted what is delegated")
        if (again := self._once_more(delegation, key)) is not None:
            return again
        delegator = self._delegator(str(delegation.claims.get("iss")))
        manifest = await self._manifest_of(delegator)
        # From here on nothing waits: what is revoked now is revoked before the token is minted, and of several that
        # redeem one delegation at once the first has it minted.
        if (again := self._once_more(delegation, key)) is not None:
            return again
        with as_redemption():
            self._shared.revocations.require_fresh()
        verified = self._verify(delegation, manifest)
        minted = self._mint(verified, delegation.source_jti, self._delegatee(verified.delegatee))
        answer = {"tct": minted.tct} | ({"grant_voucher": minted.voucher} if minted.voucher else {})
        self._redeemed.record(delegation.text, Redeemed(key, minted.jti, verified.expires_at, answer))
        self._report_redeemed(minted, delegator, delegation)
        return answer

    def _once_more(self, delegation: Delegation, key: str) -> dict[str, Any] | None:
        """What this delegatee got for the delegation before: an answer that was lost is no lost grant."""
        redeemed = self._redeemed.find(delegation.text)
        if redeemed is None or redeemed.key != key:
            return None
        if redeemed.until < time.time():
            raise RedemptionRefusal("tct_expired", "the delegation has expired")
        if source := self._shared.revocations.source_of(redeemed.jti):
            raise RedemptionRefusal("tct_revoked", "what it was redeemed for was revoked", source=source)
        with as_redemption():
            self._shared.revocations.require_fresh()
        return redeemed.answer

    def _delegator(self, aid: str) -> Peer:
        """Whoever was introduced, or came as a guest: their manifests can be had without going where strangers say."""
        try:
            return self._shared.peers.greeter(aid)
        except Refusal as refusal:
            raise RedemptionRefusal("peer_unknown", str(refusal), registry="KEY_RESOLUTION_FAILED") from refusal

    async def _manifest_of(self, delegator: Peer) -> str:
        if self._shared.peers.introduced(delegator.aid):
            return (await fetch_manifest(self._shared.client, delegator, delegator.manifest_url)).raw
        try:
            aitp.verify_manifest_json(delegator.manifest)
        except (ValueError, RuntimeError) as error:
            message = "the delegator's manifest is no longer good; it has to shake hands again"
            raise RedemptionRefusal(
                "peer_unknown", message, sdk_code=sdk_code(error), registry="KEY_RESOLUTION_FAILED"
            ) from error
        return delegator.manifest

    def _delegatee(self, aid: str) -> Peer:
        """Nobody needs to have introduced it: that is what a delegation is for."""
        try:
            return self._shared.peers.greeter(aid)
        except Refusal:
            return Peer(aid, aid, "")

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
        if self._shared.revocations.is_withheld(delegation.source_jti):
            return RedemptionRefusal("grant_missing", "what it was delegated from grants nothing")
        if code == "DELEGATION_SOURCE_TCT_REVOKED":
            source = self._shared.revocations.source_of(delegation.source_jti)
            return RedemptionRefusal("tct_revoked", "the token it was delegated from was revoked", source=source)
        found = delegation_defect(delegation.text, self._shared.identity.own_aids, said)
        word: RefusalCode = "tct_expired" if found == "DELEGATION_EXPIRED" else "tct_invalid"
        return RedemptionRefusal(word, said, sdk_code=code, registry=found)

    def _mint(self, verified: aitp.DelegationVerified, source_jti: str, delegatee: Peer) -> Token:
        """A token that ends with the delegation; it falls with the token it was delegated from."""
        lineage = self._shared.revocations.lineage
        self._redeemed.make_room()
        lineage.make_room()
        left = verified.expires_at - math.ceil(time.time())
        if left < 1:
            raise RedemptionRefusal("tct_expired", "the delegation has expired")
        given = json.loads(self._shared.identity.agent().issue_tct_for_delegatee(verified, ttl_secs=left))
        passed_on = lineage.hops(source_jti) < self._redelegation
        minted = token_with(given["tct"], given["grant_voucher"] if passed_on else None, delegatee)
        lineage.record(minted.jti, source_jti, minted.claims["exp"], "redeemed")
        self._shared.tokens.issued.add(minted)
        return minted

    def _report_redeemed(self, minted: Token, delegator: Peer, delegation: Delegation) -> None:
        known = self._known(delegator=delegator.aid, delegatee=minted.peer_aid)
        self._shared.telemetry.emit(
            "delegation.redeemed",
            initiator=known.get("delegator"),
            target=known.get("delegatee"),
            aid_a=delegator.aid,
            aid_b=minted.peer_aid,
            jti=minted.jti,
            grants=minted.summary()["grants"],
            payload={
                **known,
                "tct": {"claims": minted.claims},
                "parent_jti": delegation.source_jti,
                "delegation_jti": delegation_jti(delegation.text),
                "delegation": {"claims": reported(delegation.claims)},
            },
        )

    def _report_rejected(self, fault: Fault, aid: str, delegation: Any) -> None:
        try:
            delegator = str(decode_claims(delegation).get("iss"))
        except ValueError:
            delegator = ""
        known = self._known(delegator=delegator, delegatee=aid)
        told = fault.told() if isinstance(fault, Refusal) else {"code": fault.code, **fault.details}
        self._shared.telemetry.emit_refusal(
            "delegation.rejected",
            initiator=known.get("delegator"),
            target=known.get("delegatee"),
            aid=aid[:100],
            error=str(fault),
            payload={**told, **known},
        )

    def _known(self, **aids: str) -> dict[str, str]:
        """Of these, the agent ids of those that were introduced."""
        named = {role: self._shared.peers.agent_id_of(aid) for role, aid in aids.items()}
        return {role: agent_id for role, agent_id in named.items() if agent_id is not None}
