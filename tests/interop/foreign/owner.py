"""What an agent makes of tokens that are shown to it: calls (RFC-AITP-0005 10.5) and redemptions (RFC-AITP-0006 4)."""

from __future__ import annotations

import secrets
import uuid
from typing import Any

from aitp_verifier.aid import parse_aid
from aitp_verifier.crypto import sha256
from aitp_verifier.delegation import verify_delegation_token
from aitp_verifier.errors import AitpError
from aitp_verifier.sigfield import decode_tagged_signature
from aitp_verifier.tct import verify_tct_as_issuer

from tests.interop.foreign import tokens
from tests.interop.foreign.agent import ForeignAgent
from tests.interop.foreign.envelopes import Envelope, decode, encode, opened
from tests.interop.foreign.keys import same_key
from tests.interop.foreign.tokens import Grant, claims_of

CHALLENGE_SECS = 60


class Owner:
    """Challenges whoever comes, and decides."""

    def __init__(self, agent: ForeignAgent) -> None:
        self._agent = agent
        self._challenges: dict[str, dict[str, Any]] = {}

    def challenge(self, jti: str | None = None) -> dict[str, Any]:
        """The members of a new challenge; a delegation has no id, so one is made up for it."""
        nonce, until = encode(secrets.token_bytes(16)), self._agent.now() + CHALLENGE_SECS
        self._challenges[nonce] = {"tct_jti": jti or str(uuid.uuid4()), "nonce": nonce, "expires_at": until}
        return dict(self._challenges[nonce])

    def caller(self, tct: str, response: Envelope | None, capability: str | None) -> str:
        """The AID of whoever may call, or may do what needs no capability. Raises ``AitpError``."""
        found = verify_tct_as_issuer(
            {
                "tct_token": tct,
                "self_aid": self._agent.aid,
                "envelope": response,
                "outstanding_pop_challenges": list(self._challenges.values()),
                "issuer_revocation_list": {"snapshot": self._agent.revocation_list()},
            },
            self._agent.now(),
        )
        assert response is not None, "there is no other source of who calls"
        del self._challenges[response["payload"]["nonce_echo"]]
        if capability is not None and capability not in found["grants"]:
            raise AitpError("POLICY_VIOLATION", "the token does not grant this")
        return str(found["presenter_aid"])

    def renew(self, request: dict[str, Any], tct: str, response: Envelope | None) -> Grant:
        """Another token with the same grants, for whoever holds this one (RFC-AITP-0004 8.1). Raises ``AitpError``."""
        caller = self.caller(tct, response, None)
        if request["current_tct"] != tct:
            raise AitpError("POP_RESPONSE_INVALID", "the proof is about another token")
        signature = decode_tagged_signature(
            request["pop_signature"], parse_aid(caller), sig_err="POP_VERIFICATION_FAILED"
        )
        if not parse_aid(caller).public_key.verify_digest(sha256(decode(request["pop_nonce"])), signature):
            raise AitpError("POP_VERIFICATION_FAILED", "not signed by the holder")
        given = self._agent.mint(caller, claims_of(tct)["grants"])
        self._agent.given.append(given)
        return given

    def redeem(self, envelope: Envelope) -> Grant:
        """A token for the delegatee, which ends with its delegation and comes without a voucher (7). Raises
        ``AitpError``."""
        caller = str(envelope["sender"]["agent_id"])
        payload = opened(envelope, caller, "pop_response", self._agent.now())
        delegation = payload["delegation_token"]
        snapshot = {"issuer_aid": self._agent.aid, "snapshot": self._agent.revocation_list()}
        asked = {"delegation_token": delegation, "self_aid": self._agent.aid, "revocation_snapshots": [snapshot]}
        scope = verify_delegation_token(asked, self._agent.now())["grants"]
        claims = claims_of(delegation)
        self._prove(payload, str(claims["sub"]), caller)
        minted = self._agent.mint(claims["sub"], scope).claims
        ends = {"exp": min(int(minted["exp"]), int(claims["exp"]))}
        given = Grant(self._agent.key.token(tokens.TCT, minted | ends))
        self._agent.given.append(given)
        return given

    def _prove(self, payload: dict[str, Any], delegatee: str, caller: str) -> None:
        """Possession of the delegatee's key (6.1 of RFC-AITP-0005, as step 9 of RFC-AITP-0006 4 has it)."""
        challenge = self._challenges.pop(str(payload.get("nonce_echo")), None)
        if challenge is None or challenge["expires_at"] <= self._agent.now() or not same_key(delegatee, caller):
            raise AitpError("DELEGATION_POP_FAILED", "no open challenge is answered by the delegatee")
        aid = parse_aid(delegatee)
        signature = decode_tagged_signature(payload.get("pop_signature"), aid, sig_err="DELEGATION_POP_FAILED")
        if not aid.public_key.verify_digest(sha256(decode(challenge["nonce"])), signature):
            raise AitpError("DELEGATION_POP_FAILED", "the nonce was not signed by the delegatee")
