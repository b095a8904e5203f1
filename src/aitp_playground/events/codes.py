"""The codes by which an agent refuses: its own words, which stand in events, and the registry's, which it answers with.

A registry code (``$.body.error.code`` of an answer) is one of those of the AITP standard; several refusals share one.
The agents have a table of their own, which a test holds against this one.
"""

from __future__ import annotations

from collections.abc import Mapping

#: What a refusal means, in words.
REFUSALS: Mapping[str, str] = {
    "tct_missing": "no TCT was presented",
    "tct_invalid": "the TCT does not verify",
    "tct_expired": "the TCT has expired",
    "tct_revoked": "the TCT is revoked",
    "wrong_issuer": "the TCT was issued by somebody else",
    "wrong_audience": "the TCT is meant for somebody else",
    "grant_missing": "the TCT does not grant this capability",
    "capability_unknown": "this capability is not offered",
    "pop_required": "possession of the key was not proven",
    "pop_invalid": "the proof of possession does not verify",
    "peer_unknown": "the caller was never introduced",
    "replay": "the message was seen before",
    "stale": "the message is too old",
    "clock_skew": "the clock of the other side is too far ahead",
    "revocation_unknown": "the revocation state is unknown, and without it this agent does not go on",
    "delegation_redeemed": "the delegation was already redeemed",
    "delegation_depth": "the delegation is further from its root than is allowed",
    "delegation_chained": "chains of delegations are not taken",
}

#: Under which code of the registry an agent answers a capability call that it refuses.
REGISTRY_OF: Mapping[str, str] = {
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

_OF_OTHERS = frozenset({"handshake_refused", "peer_unknown", "replay"})
#: Those by which a call, or its challenge, may be refused: the others are about handshakes and delegations.
OF_CALLS = frozenset(name for name in REGISTRY_OF.keys() - _OF_OTHERS if not name.startswith("delegation_"))

#: Every code of the registry that an agent may answer with.
REGISTRY_CODES = frozenset(
    {
        "AUDIENCE_MISMATCH",
        "DELEGATION_AUDIENCE_MISMATCH",
        "DELEGATION_CHAIN_HASH_MISMATCH",
        "DELEGATION_EXPIRED",
        "DELEGATION_HOP_LIMIT_EXCEEDED",
        "DELEGATION_INVALID_SIGNATURE",
        "DELEGATION_INVALID_VOUCHER",
        "DELEGATION_MULTIHOP_NOT_SUPPORTED",
        "DELEGATION_POP_FAILED",
        "DELEGATION_SCOPE_EXCEEDED",
        "DELEGATION_SOURCE_TCT_REVOKED",
        "GRANT_OVERFLOW",
        "IDENTITY_FAILED",
        "INCOMPATIBLE_IDENTITY_TYPE",
        "INCOMPATIBLE_TRUST_ANCHORS",
        "INSUFFICIENT_GRANTS",
        "INVALID_ENVELOPE",
        "INVALID_SIGNATURE",
        "KEY_RESOLUTION_FAILED",
        "MANIFEST_EXPIRED",
        "MANIFEST_INVALID",
        "MANIFEST_POP_FAILED",
        "MANIFEST_SIGNATURE_INVALID",
        "MANIFEST_VERSION_UNKNOWN",
        "NONCE_MISMATCH",
        "POLICY_VIOLATION",
        "POP_CHALLENGE_INVALID",
        "POP_RESPONSE_INVALID",
        "POP_VERIFICATION_FAILED",
        "REPLAY_DETECTED",
        "REVOCATION_SNAPSHOT_INVALID",
        "REVOCATION_SNAPSHOT_SIGNATURE_INVALID",
        "TCT_CNF_MISMATCH",
        "TCT_EXPIRED",
        "TCT_EXPIRES_AFTER_MANIFEST",
        "TCT_REVOKED",
        "TCT_SIGNATURE_INVALID",
        "TIMESTAMP_EXPIRED",
        "TOKEN_ALG_MISMATCH",
        "TOKEN_TYP_MISMATCH",
        "UNKNOWN_FIELD",
        "UNKNOWN_VERSION",
    }
)
