"""Proving that a delegation's delegatee is there: the challenge for it, and the answer (RFC-AITP-0006, section 4)."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from base.protocol.aids import same_key
from base.protocol.delegation_tokens import Delegation, delegation_jti
from base.protocol.envelopes import Envelope
from base.protocol.identity import Identity
from base.protocol.possession import CHALLENGE, CHALLENGE_SECS, ChallengeBook, Proof, stand_in, verify_proof
from base.protocol.tokens import TokenBook, decode_claims
from base.refusals import RedemptionRefusal, Refusal, malformed

CHALLENGE_PATH = "/aitp/delegation/challenge"
_NONCE_BYTES = 16


class DelegationProofs:
    """Gives out challenges for delegations and checks what comes back."""

    def __init__(self, identity: Identity, tokens: TokenBook) -> None:
        self._identity = identity
        self._tokens = tokens
        self._challenges = ChallengeBook()

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
        return self._identity.agent().sign_envelope(CHALLENGE, challenge)

    def check(self, envelope: Envelope, delegation: Delegation) -> None:
        """Whether the delegatee's key has answered this agent's own challenge for the delegation.

        The envelope's signature binds the nonce to the delegation beside it. What the standard has besides, a
        signature over the nonce alone, is verified when it is there; without it the owner must be named.
        """
        if not same_key(delegation.claims.get("sub"), envelope.sender):
            raise RedemptionRefusal("pop_invalid", "the delegation is for another key")
        parts = envelope.payload
        nonce, signature, audience = (parts.get(name) for name in ("nonce_echo", "pop_signature", "audience"))
        if nonce is None:
            raise RedemptionRefusal("pop_required", "the redemption carries no proof of possession")
        if not isinstance(nonce, str) or not (isinstance(audience, str) or (audience is None and signature)):
            raise malformed("not a redemption: nonce_echo is a text, and audience or pop_signature is there")
        if audience is not None and not self._identity.is_own(audience):
            raise RedemptionRefusal("pop_invalid", "the proof was made for another agent")
        with as_redemption():
            challenge = self._challenges.take(nonce, delegation.text)
            if signature is not None:
                self._verify_response(challenge, parts, envelope.sender)

    def _delegator_of_own(self, delegation: str) -> str | None:
        """Whose voucher it is that is in a delegation; None when this agent did not give it."""
        try:
            voucher = decode_claims(delegation)["voucher"]
            source = decode_claims(voucher)
            if not self._identity.is_own(source["iss"]):
                return None
            token = self._tokens.issued.with_jti(str(source["src_jti"]))
        except (ValueError, LookupError):
            return None
        return token.peer_aid if token is not None and token.voucher == voucher else None

    def _verify_response(self, challenge: str, parts: dict[str, Any], delegatee: str) -> None:
        response = {name: parts.get(name) for name in ("tct_jti", "nonce_echo", "pop_signature")}
        token = stand_in(delegatee, self._identity.aid, json.loads(challenge)["tct_jti"])
        verify_proof(challenge, Proof(json.dumps(response), parts["nonce_echo"], None), token)


@contextmanager
def as_redemption() -> Iterator[None]:
    """What is refused of a token has, of a delegation, a name of its own."""
    try:
        yield
    except Refusal as refusal:
        sdk_said = refusal.details.get("sdk_code")
        raise RedemptionRefusal(refusal.refusal, str(refusal), sdk_code=sdk_said) from refusal
