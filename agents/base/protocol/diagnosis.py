"""What exactly is wrong with a token that the SDK refused.

The SDK has one word for most defects. The registry has one for each, so once a token is refused, its header and claims
are looked at to find the right one (RFC-AITP-0005, section 7.2). Nothing is accepted by what is found here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import aitp

from base.aids import same_key
from base.protocol.tokens import decode_claims, decode_segment
from base.refusals import first_line

VERSION = "aitp/0.3"
TCT_TYPE = "aitp-tct+jwt"
DELEGATION_TYPE = "aitp-delegation+jwt"
VOUCHER_TYPE = "aitp-grant+jwt"
_TCT_CLAIMS = frozenset({"ver", "iss", "sub", "aud", "iat", "exp", "jti", "grants", "cnf"})
_DELEGATION_CLAIMS = frozenset({"ver", "iss", "sub", "aud", "scope", "exp", "cnf", "voucher"})
_VOUCHER_CLAIMS = frozenset({"ver", "iss", "sub", "iat", "exp", "grants", "src_jti"})
_SUSPECT = "TCT_SIGNATURE_INVALID"
_SUSPECT_DELEGATION = "DELEGATION_INVALID_SIGNATURE"
#: Whether a signature is the bad thing, and which one in a delegation, only the SDK can tell, and only in words.
_OUTER_SIGNATURE = "delegation signature is invalid"
_SIGNATURE = "signature verification failed"


def algorithm_of(aid: str) -> str:
    """The JOSE algorithm with which the key in an AID signs."""
    return "ES256" if aid.startswith("aid:pubkey:p256:") else "EdDSA"


def header_defect(token: str, kind: str, issuer: str) -> str | None:
    """What a compact JWS's header is, other than ``{"alg", "typ"}`` of that kind and issuer."""
    try:
        header = decode_segment(token, 0)
    except ValueError:
        return None
    if header.get("typ") != kind:
        return "TOKEN_TYP_MISMATCH"
    if header.keys() != {"alg", "typ"} or header["alg"] != algorithm_of(issuer):
        return "TOKEN_ALG_MISMATCH"
    return None


def tct_defect(agent: aitp.AitpAgent, token: Any, issuer: str, audience: str) -> str:
    """The registry's code for a TCT that should be from ``issuer`` for ``audience``, and was refused.

    ``agent`` asks the SDK whether the token would do for the audience that it names and one of its grants.
    """
    try:
        claims = decode_claims(token)
    except ValueError:
        return _SUSPECT
    named, grants = str(claims.get("aud")), claims.get("grants")
    grant = str(grants[0]) if isinstance(grants, list) and grants else ""
    said = refused_with(agent, token, grant, named)
    if is_forged(said):
        return forgery_of(token, issuer)
    if found := header_defect(token, TCT_TYPE, issuer) or _claims_defect(claims):
        return found
    if said is not None:
        return "TCT_EXPIRED" if _is_over(claims) else _SUSPECT
    if same_key(claims.get("iss"), issuer) and not same_key(named, audience):
        return "AUDIENCE_MISMATCH"
    return _SUSPECT


def is_forged(said: str | None) -> bool:
    """Whether the SDK refused a token for its signature: then what its claims say is anybody's word."""
    return said is not None and _SIGNATURE in said


def forgery_of(token: str, issuer: str) -> str:
    """The registry's code for a TCT whose signature does not verify."""
    return header_defect(token, TCT_TYPE, issuer) or _SUSPECT


def delegation_defect(token: str, own_aids: Iterable[str], said: str) -> str:
    """The registry's code for a delegation that ``own_aids``, as its resource owner, should redeem, and that the SDK
    refused with these words (RFC-AITP-0006, section 4)."""
    try:
        claims = decode_claims(token)
        voucher = decode_claims(claims.get("voucher"))
    except ValueError:
        return "DELEGATION_INVALID_VOUCHER"
    delegator, owner = str(claims.get("iss")), str(voucher.get("iss"))
    if found := header_defect(token, DELEGATION_TYPE, delegator):
        return found
    if _OUTER_SIGNATURE in said or same_key(claims.get("sub"), delegator):
        return _SUSPECT_DELEGATION
    if found := _members_defect(claims, _DELEGATION_CLAIMS):
        return found
    if not any(same_key(claims.get("aud"), own) for own in own_aids):
        return "DELEGATION_AUDIENCE_MISMATCH"
    if _is_over(claims):
        return "DELEGATION_EXPIRED"
    if found := header_defect(claims["voucher"], VOUCHER_TYPE, owner) or _members_defect(voucher, _VOUCHER_CLAIMS):
        return found
    if _SIGNATURE in said or voucher.get("sub") != delegator or owner != claims["aud"]:
        return "DELEGATION_INVALID_VOUCHER"
    if _is_over(voucher) or _is_later(claims, voucher):
        return "DELEGATION_EXPIRED"
    scope, grants = claims.get("scope"), voucher.get("grants")
    if isinstance(scope, list) and isinstance(grants, list) and _texts(scope) - _texts(grants):
        return "DELEGATION_SCOPE_EXCEEDED"
    return _SUSPECT_DELEGATION


def said_of_claims(said: str) -> bool:
    """Whether the SDK's words against a delegation are about what it says, which then both signatures bear out."""
    return not any(words in said for words in (_OUTER_SIGNATURE, _SIGNATURE, "malformed"))


def _texts(values: list[Any]) -> set[str]:
    """Those that are texts: they may be many, and anything, for the SDK reads them before it looks at a signature."""
    return {value for value in values if isinstance(value, str)}


def _is_over(claims: dict[str, Any]) -> bool:
    expires_at = claims.get("exp")
    return isinstance(expires_at, int) and expires_at <= time.time()


def _is_later(claims: dict[str, Any], other: dict[str, Any]) -> bool:
    ends = claims.get("exp"), other.get("exp")
    return isinstance(ends[0], int) and isinstance(ends[1], int) and ends[0] > ends[1]


def _members_defect(claims: dict[str, Any], known: frozenset[str]) -> str | None:
    if claims.get("ver") != VERSION:
        return "UNKNOWN_VERSION"
    return "UNKNOWN_FIELD" if claims.keys() - known - {"ext"} else None


def _claims_defect(claims: dict[str, Any]) -> str | None:
    return _members_defect(claims, _TCT_CLAIMS) or binding_defect(claims)


def binding_defect(claims: dict[str, Any]) -> str | None:
    """What is wrong with a token's ``cnf``, which names the key of its subject."""
    try:
        bound = claims["cnf"]["jkt"] == aitp.compute_aid_jkt(str(claims["sub"]))
    except (KeyError, TypeError, ValueError, RuntimeError):
        return _SUSPECT
    return None if bound else "TCT_CNF_MISMATCH"


def refused_with(agent: aitp.AitpAgent, token: str, grant: str, audience: str) -> str | None:
    """What the SDK says against the token, if that grant and audience are asked for and nothing is revoked; None when
    it takes it."""
    try:
        agent.verify_tct(token, grant, expected_audience=audience, revoked_jtis=set())
    except (ValueError, RuntimeError) as error:
        return first_line(error)
    return None
