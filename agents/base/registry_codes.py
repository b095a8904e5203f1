"""The error codes of the AITP registry, and which of them says what this agent refuses.

Peers see nothing but these (RFC-AITP-0001, section 5.6): a code, its fixed sentence, and whether trying again may help.
The finer words of :mod:`base.refusals` go to the log, and to peers that have proven who they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

RefusalCode = Literal[
    "tct_missing",
    "tct_invalid",
    "tct_expired",
    "tct_revoked",
    "wrong_issuer",
    "wrong_audience",
    "grant_missing",
    "capability_unknown",
    "pop_required",
    "pop_invalid",
    "peer_unknown",
    "replay",
    "stale",
    "clock_skew",
    "revocation_unknown",
    "delegation_redeemed",
    "delegation_depth",
    "delegation_chained",
    "handshake_refused",
]

#: Every code a peer may be told, with its sentence.
SENTENCES: Mapping[str, str] = {
    "AUDIENCE_MISMATCH": "the token is meant for another agent",
    "DELEGATION_AUDIENCE_MISMATCH": "the delegation is for another agent to redeem",
    "DELEGATION_CHAIN_HASH_MISMATCH": "the delegation's chain does not fit together",
    "DELEGATION_EXPIRED": "the delegation or its voucher has expired",
    "DELEGATION_HOP_LIMIT_EXCEEDED": "the delegation is further from its root than this agent allows",
    "DELEGATION_INVALID_SIGNATURE": "the delegation does not verify",
    "DELEGATION_INVALID_VOUCHER": "the delegation's grant voucher is not good here",
    "DELEGATION_MULTIHOP_NOT_SUPPORTED": "this agent takes no chains of delegations",
    "DELEGATION_POP_FAILED": "possession of the delegatee's key was not proven",
    "DELEGATION_SCOPE_EXCEEDED": "the delegation's scope is wider than its voucher",
    "DELEGATION_SOURCE_TCT_REVOKED": "the token it was delegated from is revoked",
    "GRANT_OVERFLOW": "the token grants more than its issuer offers",
    "IDENTITY_FAILED": "the identity is not accepted",
    "INCOMPATIBLE_IDENTITY_TYPE": "this type of identity is not accepted",
    "INCOMPATIBLE_TRUST_ANCHORS": "the identity's issuer is not trusted",
    "INSUFFICIENT_GRANTS": "a grant that is required was not given",
    "INVALID_ENVELOPE": "this is not a message that is understood here",
    "INVALID_SIGNATURE": "the envelope's signature does not verify",
    "KEY_RESOLUTION_FAILED": "a key or manifest that is needed could not be had",
    "MANIFEST_EXPIRED": "the manifest has expired",
    "MANIFEST_INVALID": "the manifest is not well formed",
    "MANIFEST_POP_FAILED": "the manifest's proof of possession does not verify",
    "MANIFEST_SIGNATURE_INVALID": "the manifest's signature does not verify",
    "MANIFEST_VERSION_UNKNOWN": "this version of the manifest is not spoken here",
    "NONCE_MISMATCH": "the nonce is not the one that was sent",
    "POLICY_VIOLATION": "this is not permitted",
    "POP_CHALLENGE_INVALID": "the challenge is not open",
    "POP_RESPONSE_INVALID": "possession of the key was not proven",
    "POP_VERIFICATION_FAILED": "the proof of possession does not verify",
    "REPLAY_DETECTED": "this was received before",
    "REVOCATION_SNAPSHOT_INVALID": "the revocation list is not well formed",
    "REVOCATION_SNAPSHOT_SIGNATURE_INVALID": "the revocation list's signature does not verify",
    "TCT_CNF_MISMATCH": "the token is bound to another key",
    "TCT_EXPIRED": "the token has expired",
    "TCT_EXPIRES_AFTER_MANIFEST": "the token outlives its issuer's manifest",
    "TCT_REVOKED": "the token is revoked, or it cannot be known that it is not",
    "TCT_SIGNATURE_INVALID": "the token's signature does not verify",
    "TIMESTAMP_EXPIRED": "the time is too far from now",
    "TOKEN_ALG_MISMATCH": "the token's algorithm is not its issuer's",
    "TOKEN_TYP_MISMATCH": "this is another kind of token",
    "UNKNOWN_FIELD": "a member is not known",
    "UNKNOWN_VERSION": "this version of the protocol is not spoken here",
}

#: Those after which the same request may succeed later.
RETRYABLE = frozenset({"TIMESTAMP_EXPIRED", "KEY_RESOLUTION_FAILED"})

#: What a refusal is called on the wire.
OF_REFUSAL: Mapping[RefusalCode, str] = {
    "tct_missing": "POLICY_VIOLATION",
    "tct_invalid": "TCT_SIGNATURE_INVALID",
    "tct_expired": "TCT_EXPIRED",
    "tct_revoked": "TCT_REVOKED",
    "wrong_issuer": "TCT_SIGNATURE_INVALID",
    "wrong_audience": "AUDIENCE_MISMATCH",
    "grant_missing": "POLICY_VIOLATION",
    "capability_unknown": "POLICY_VIOLATION",
    "pop_required": "POP_RESPONSE_INVALID",
    "pop_invalid": "POP_RESPONSE_INVALID",
    "peer_unknown": "IDENTITY_FAILED",
    "replay": "REPLAY_DETECTED",
    "stale": "TIMESTAMP_EXPIRED",
    "clock_skew": "TIMESTAMP_EXPIRED",
    "revocation_unknown": "TCT_REVOKED",
    "delegation_redeemed": "REPLAY_DETECTED",
    "delegation_depth": "DELEGATION_HOP_LIMIT_EXCEEDED",
    "delegation_chained": "DELEGATION_MULTIHOP_NOT_SUPPORTED",
    "handshake_refused": "INVALID_ENVELOPE",
}

#: The same where a delegation is redeemed, as far as it differs (RFC-AITP-0006, section 4).
OF_REDEMPTION: Mapping[RefusalCode, str] = {
    "tct_invalid": "DELEGATION_INVALID_SIGNATURE",
    "tct_expired": "DELEGATION_EXPIRED",
    "tct_revoked": "DELEGATION_SOURCE_TCT_REVOKED",
    "wrong_issuer": "DELEGATION_INVALID_VOUCHER",
    "wrong_audience": "DELEGATION_AUDIENCE_MISMATCH",
    "pop_required": "DELEGATION_POP_FAILED",
    "pop_invalid": "DELEGATION_POP_FAILED",
    "revocation_unknown": "DELEGATION_SOURCE_TCT_REVOKED",
}

#: What is no refusal, but a message that could not be taken at all, or a peer of ours that did not answer.
OF_FAULT: Mapping[str, str] = {"peer_failed": "KEY_RESOLUTION_FAILED"}
MALFORMED = "INVALID_ENVELOPE"

#: Words of the protocol library that are not the registry's own, as the registry has them.
_SPELLINGS: Mapping[str, str] = {
    "SIGNATURE_INVALID": "MANIFEST_SIGNATURE_INVALID",
    "EXPIRED": "MANIFEST_EXPIRED",
    "VERSION_UNKNOWN": "MANIFEST_VERSION_UNKNOWN",
    "POP_FAILED": "MANIFEST_POP_FAILED",
    "IDENTITY_HINT_MALFORMED": "MANIFEST_INVALID",
    "AID_MISMATCH": "INVALID_ENVELOPE",
}


def registered(code: str | None) -> str | None:
    """The registry's spelling of a code of the protocol library, or None for one that the registry does not know."""
    spelt = (code or "").upper()
    spelt = _SPELLINGS.get(spelt, spelt)
    return spelt if spelt in SENTENCES else None
