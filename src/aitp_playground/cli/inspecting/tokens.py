"""Tokens: TCTs, grant vouchers, delegations; and ID tokens, which are read and not judged.

Each is judged by itself: its form, its signature by the key that its issuer's AID is, its end. Whether its issuer is
who should have made it, whether it was revoked, and whether the one who shows it has the key, is for whoever it is
shown to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import aitp

from aitp_playground.cli.inspecting.claims import CLAIMS, DELEGATION, OF_CHAINS, TCT, VOUCHER, wrong_claims
from aitp_playground.cli.inspecting.findings import Inspected
from aitp_playground.cli.inspecting.jws import Jws, Malformed, algorithm_of

VERSION: Final = "aitp/0.3"
_NAMES: Final = {
    TCT: "trust context token (TCT)",
    VOUCHER: "grant voucher",
    DELEGATION: "delegation",
    "JWT": "ID token",
}
#: Type → the registry's codes for a form or signature that is wrong, and for an end that is over.
_CODES: Final = {
    TCT: ("TCT_SIGNATURE_INVALID", "TCT_EXPIRED"),
    VOUCHER: ("DELEGATION_INVALID_VOUCHER", "DELEGATION_EXPIRED"),
    DELEGATION: ("DELEGATION_INVALID_SIGNATURE", "DELEGATION_EXPIRED"),
}
_SELF_SAID: Final = "that this is the issuer to ask is its own word: compare the AID with the one that you know"
_HELD: Final = "who shows it has to prove possession of the subject's key besides"
_ON_A_LIST: Final = "whether it was revoked is on its issuer's revocation list"


def inspect_token(text: str, now: float) -> Inspected:
    """What a compact JWS is, and whether it holds at ``now`` (Unix seconds). Raises Malformed for what is none."""
    token = Jws.parse(text)
    kind = str(token.header.get("typ"))
    found = {"kind": _NAMES.get(kind, "token"), "header": token.header, "document": token.claims}
    if kind == "JWT":
        said = "its issuer's keys are known to the agents of its run alone, so it cannot be judged here"
        return Inspected(verdict="unknown", said=said, **found)  # type: ignore[arg-type]
    if kind not in CLAIMS:
        said = f"the protocol has no token of type {kind[:60]!r}"
        return Inspected(verdict="bad", code="TOKEN_TYP_MISMATCH", said=said, **found)  # type: ignore[arg-type]
    inner = _inner(kind, token.claims, now)
    for code, said in _defects(kind, token, inner, now):
        return Inspected(verdict="bad", code=code, said=said, inner=inner, **found)  # type: ignore[arg-type]
    said = f"it is signed by {token.claims['iss']}, and not over"
    notes = (_SELF_SAID, _ON_A_LIST, _HELD) if kind == TCT else (_SELF_SAID,)
    return Inspected(verdict="good", said=said, notes=notes, inner=inner, **found)  # type: ignore[arg-type]


def inspect_inner(text: str, now: float, code: str) -> Inspected:
    """The same of a token that stands in a signed thing: ``code`` is the registry's for what is no compact JWS."""
    try:
        return inspect_token(text, now)
    except Malformed as fault:
        said = f"it is not well formed: {fault}"
        return Inspected(kind="token", verdict="bad", code=code, said=said, document={})


def _inner(kind: str, claims: Mapping[str, Any], now: float) -> dict[str, Inspected]:
    voucher = claims.get("voucher")
    if kind != DELEGATION or not isinstance(voucher, str):
        return {}
    return {"voucher": inspect_inner(voucher, now, _CODES[VOUCHER][0])}


def _defects(kind: str, token: Jws, inner: Mapping[str, Inspected], now: float) -> Iterator[tuple[str, str]]:
    """``(the registry's code, a sentence)``, the first of which counts."""
    claims, (forged, over) = token.claims, _CODES[kind]
    if kind == DELEGATION and (chained := sorted(OF_CHAINS & claims.keys())):
        yield (
            "DELEGATION_MULTIHOP_NOT_SUPPORTED",
            f"it is a link of a chain of delegations: it has {', '.join(chained)}",
        )
    issuer = claims.get("iss")
    if not isinstance(issuer, str):
        yield forged, "it names no issuer"
        return
    if token.header.keys() != {"alg", "typ"} or token.header["alg"] != algorithm_of(issuer):
        yield "TOKEN_ALG_MISMATCH", f"its header has to be alg {algorithm_of(issuer)} and typ, and nothing else"
    if not token.is_signed_by(issuer):
        yield forged, f"its signature is not by the key of {issuer}"
    if isinstance(claims.get("ver"), str) and claims["ver"] != VERSION:
        yield "UNKNOWN_VERSION", f"it is of version {claims['ver'][:60]!r}, and {VERSION} is spoken"
    # What follows takes claims for what they have to be.
    for said in wrong_claims(kind, claims):
        yield forged, said
        return
    must, may = CLAIMS[kind]
    if unknown := sorted(claims.keys() - must - may):
        yield "UNKNOWN_FIELD", f"the standard knows no {', '.join(unknown)[:200]}"
    if "cnf" in must:
        yield from _of_binding(claims)
    if kind == DELEGATION:
        yield from _of_delegation(claims, inner)
    if claims["exp"] <= now:
        yield over, "it is over"
    if claims.get("iat", 0) > now:
        yield "TIMESTAMP_EXPIRED", "it is of a time that has not come yet: a clock is ahead, or another one behind"


def _of_binding(claims: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if unknown := sorted(claims["cnf"].keys() - {"jkt"}):
        yield "UNKNOWN_FIELD", f"the standard knows no {', '.join(unknown)[:200]} in cnf"
    if claims["cnf"].get("jkt") != aitp.compute_aid_jkt(claims["sub"]):
        yield "TCT_CNF_MISMATCH", "it is bound to another key than that of its subject (cnf.jkt)"


def _of_delegation(claims: Mapping[str, Any], inner: Mapping[str, Inspected]) -> Iterator[tuple[str, str]]:
    """What ties a delegation to its voucher (RFC-AITP-0006, section 4)."""
    voucher = inner.get("voucher")
    if claims["sub"] == claims["iss"]:
        yield "DELEGATION_INVALID_SIGNATURE", "it is for the one who made it"
    if voucher is None or voucher.kind != "grant voucher":
        yield "DELEGATION_INVALID_VOUCHER", "it has no grant voucher"
        return
    if voucher.code is not None:
        yield voucher.code, f"its voucher does not hold: {voucher.said}"
        return
    granted = voucher.document
    if granted["sub"] != claims["iss"] or granted["iss"] != claims["aud"]:
        yield (
            "DELEGATION_INVALID_VOUCHER",
            "its voucher is not the delegator's, or not of the one whom it is to be shown",
        )
    if beyond := sorted(set(claims["scope"]) - set(granted["grants"])):
        yield "DELEGATION_SCOPE_EXCEEDED", f"its voucher does not grant {', '.join(beyond)[:200]}"
    if claims["exp"] > granted["exp"]:
        yield "DELEGATION_EXPIRED", "it would outlive its voucher"
