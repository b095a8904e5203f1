"""Deciding on a capability call: who is calling, with what, and did this agent allow it.

The SDK's token check accepts any issuer and, left to itself, the token's own word for its audience. Here the caller
proves the key first, the audience is the key that was proven, and the issuer must be this agent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aitp

from base.aids import same_key
from base.protocol.diagnosis import binding_defect, forgery_of, is_forged, refused_with, tct_defect
from base.protocol.envelopes import disclosing
from base.protocol.identity import Identity
from base.protocol.possession import CHALLENGE, CHALLENGE_SECS, ChallengeBook, read_proof, verify_proof
from base.protocol.revocation import RevocationState
from base.protocol.token_cache import TokenCache, VerifiedTokens
from base.protocol.tokens import decode_claims
from base.refusals import Refusal, first_line, sdk_code


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a call was allowed to: the proven holder and the token."""

    aid: str
    jti: str


class Verifier:
    """The checks of one capability call, each in its own method, in this order."""

    def __init__(
        self, identity: Identity, revocations: RevocationState, introduced: Callable[[str], bool] = lambda _aid: False
    ) -> None:
        self._introduced = introduced
        self._identity = identity
        self._revocations = revocations
        self.forget()

    def forget(self) -> None:
        """Drop challenges and cached verifications: the key has changed."""
        self._challenges = ChallengeBook()
        self._known = VerifiedTokens()
        self.cache = TokenCache()

    def challenge(self, token: str | None) -> tuple[str, bool]:
        """A signed ``pop_challenge`` for ``token``, which says nothing about whether that is any good; and whether it
        is one that this agent issued and that is live, for this agent itself to know."""
        token = self._require_token(token)
        try:
            challenge = self._agent.new_pop_challenge(token, CHALLENGE_SECS)
        except (ValueError, RuntimeError) as error:
            defect = tct_defect(self._agent, token, self._identity.aid, self._identity.aid)
            raise Refusal("tct_invalid", "the token is not a TCT", sdk_code=sdk_code(error), registry=defect) from error
        holder = self._holder_of_own(token)
        self._challenges.add(challenge, token, holder)
        return self._agent.sign_envelope(CHALLENGE, challenge), holder is not None

    def authorize(self, token: str | None, capability: str | None, response: str | None) -> Caller:
        """Allow the call or raise :class:`Refusal`; 400 for a proof that is not one. No capability: what is no call
        may be done under a token whatever it grants."""
        token = self._require_token(token)
        if response is None:
            raise Refusal("pop_required", "the call carries no proof of possession")
        holder = self._prove_holder(token, response)
        with disclosing(self._introduced, holder):
            self._require_own_issue(token)
            self._revocations.require_fresh(capability)
            return Caller(holder, self._verify(token, capability, holder))

    def confirm(self, token: str, capability: str, caller: Caller) -> None:
        """Whether what was decided still holds, some seconds later. Raises ``tct_revoked``, ``tct_expired``,
        ``wrong_issuer`` or ``revocation_unknown``."""
        self._require_own_issue(token)  # the key may have been changed
        self._revocations.require_fresh(capability)
        if self._revocations.deny(caller.jti):
            source = self._revocations.source_of(caller.jti)
            raise Refusal("tct_revoked", "the token was revoked in the meantime", source=source)
        if decode_claims(token)["exp"] < time.time():
            raise Refusal("tct_expired", "the token has expired in the meantime")

    @property
    def _agent(self) -> aitp.AitpAgent:
        return self._identity.agent()

    @staticmethod
    def _require_token(token: str | None) -> str:
        if not token:
            raise Refusal("tct_missing", "the call carries no TCT")
        if not token.isascii():
            raise Refusal("tct_invalid", "the token is not a TCT")
        return token

    def _prove_holder(self, token: str, response: str) -> str:
        """The AID whose key answered this agent's own challenge for this token."""
        proof = read_proof(response)
        challenge = self._challenges.take(proof.nonce, token)
        try:
            return verify_proof(challenge, proof, token)
        except Refusal as refusal:
            if (defect := binding_defect(decode_claims(token))) is None:
                raise
            raise Refusal("tct_invalid", "the token is bound to another key", registry=defect) from refusal

    def _holder_of_own(self, token: str) -> str | None:
        """To whom this agent issued the token; None for one that it did not issue, or that is over."""
        claims = decode_claims(token)
        try:
            grant, holder = claims["grants"][0], claims["sub"]
            if self._identity.is_own(claims["iss"]):
                self._known.verify(self._agent, token, grant, holder, set())
                return str(holder)
        except (ValueError, RuntimeError, LookupError, TypeError):
            pass
        return None

    def _require_own_issue(self, token: str) -> None:
        if not self._identity.is_own(decode_claims(token).get("iss")):
            raise Refusal("wrong_issuer", "the token was issued by another agent")

    def _verify(self, token: str, capability: str | None, holder: str) -> str:
        """Signature, audience, expiry, revocation and grant. Returns the jti. Only calls count in the cache."""
        claims = decode_claims(token)
        deny = self._revocations.deny(str(claims.get("jti")))
        try:
            if capability is None:
                return self._known.verify(self._agent, token, _any_grant(claims), holder, deny).jti
            return self.cache.verify(self._agent, token, capability, holder, deny).jti
        except (ValueError, RuntimeError) as error:
            raise self._explain(token, holder, error) from error

    def _explain(self, token: str, holder: str, error: Exception) -> Refusal:
        """The SDK names only a revocation; find out what else it was."""
        code = sdk_code(error)
        if is_forged(first_line(error)):
            defect = forgery_of(token, self._identity.aid)
            return Refusal("tct_invalid", "the token does not verify", sdk_code=code, registry=defect)
        claims = decode_claims(token)
        jti = str(claims.get("jti"))
        if self._revocations.is_withheld(jti):
            return Refusal("grant_missing", "the token was given in a handshake of one direction, and grants nothing")
        if code == "TCT_REVOKED":
            return Refusal("tct_revoked", "the token was revoked", source=self._revocations.source_of(jti))
        asked = _any_grant(claims)
        if asked and refused_with(self._agent, token, asked, holder) is None:
            return Refusal("grant_missing", "the token does not grant this capability")
        defect = tct_defect(self._agent, token, self._identity.aid, holder)
        if defect == "TCT_EXPIRED":
            return Refusal("tct_expired", "the token has expired")
        if defect in ("AUDIENCE_MISMATCH", "TCT_SIGNATURE_INVALID") and not same_key(claims.get("aud"), holder):
            return Refusal("wrong_audience", "the token was issued to another agent")
        lead = _lead_of(claims.get("iat"))
        if lead > 0:
            return Refusal("clock_skew", f"the token was issued {lead} seconds from now", seconds=lead)
        return Refusal("tct_invalid", "the token does not verify", sdk_code=code, registry=defect)


def _any_grant(claims: Mapping[str, Any]) -> str:
    grants = claims.get("grants")
    return str(grants[0]) if isinstance(grants, list) and grants else ""


def _lead_of(issued_at: object) -> int:
    """How many seconds from now a token was issued; 0 for one that is not ahead."""
    return max(0, math.ceil(issued_at - time.time())) if isinstance(issued_at, int) else 0
