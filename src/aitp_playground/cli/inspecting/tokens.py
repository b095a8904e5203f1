"""Tokens: TCTs, grant vouchers, delegations; and ID tokens, which are read and not judged.

Each is judged by itself: its form, its signature by the key that its issuer's AID is, its end. Whether its issuer is
who should have made it, whether it was revoked, and whether the one who shows it has the key, is for whoever it is
shown to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import aitp

from aitp_playground.cli.inspecting.findings import Inspected
from aitp_playground.cli.inspecting.jws import Jws, Malformed, algorithm_of

VERSION: Final = "aitp/0.3"
_NAMES: Final = {
    "aitp-tct+jwt": "trust context token (TCT)",
    "aitp-grant+jwt": "grant voucher",
    "aitp-delegation+jwt": "delegation",
    "JWT": "ID token",
}
#: Type → the claims that it must have, besides ``ver``, ``iss`` and ``exp``, and may have.
_CLAIMS: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = {
    "aitp-tct+jwt": (frozenset({"sub", "aud", "iat", "jti", "grants", "cnf"}), frozenset({"ext"})),
    "aitp-grant+jwt": (frozenset({"sub", "iat", "grants", "src_jti"}), frozenset({"ext"})),
    "aitp-delegation+jwt": (
        frozenset({"sub", "aud", "scope", "cnf", "voucher"}),
        frozenset({"ext", "jti", "chain", "iat"}),
    ),
}
#: Type → the registry's codes for a signature that does not verify, and for an end that is over.
_CODES: Final = {
    "aitp-tct+jwt": ("TCT_SIGNATURE_INVALID", "TCT_EXPIRED"),
    "aitp-grant+jwt": ("DELEGATION_INVALID_VOUCHER", "DELEGATION_EXPIRED"),
    "aitp-delegation+jwt": ("DELEGATION_INVALID_SIGNATURE", "DELEGATION_EXPIRED"),
}
_SELF_SAID: Final = "that this is the issuer to ask is its own word: compare the AID with the one that you know"
_HELD: Final = "who shows it has to prove possession of the subject's key besides"
_ON_A_LIST: Final = "whether it was revoked is on its issuer's revocation list"


def inspect_token(text: str, now: float) -> Inspected:
    """What a compact JWS is, and whether it holds at ``now`` (Unix seconds)."""
    try:
        token = Jws.parse(text)
    except Malformed as fault:
        return Inspected(
            kind="token",
            verdict="bad",
            code="TCT_SIGNATURE_INVALID",
            said=f"it is not well formed: {fault}",
            document={},
        )
    kind = str(token.header.get("typ"))
    found = {"kind": _NAMES.get(kind, "token"), "header": token.header, "document": token.claims}
    if kind == "JWT":
        said = "its issuer's keys are known to the agents of its run alone, so it cannot be judged here"
        return Inspected(verdict="unknown", said=said, **found)  # type: ignore[arg-type]
    if kind not in _CLAIMS:
        said = f"the protocol has no token of type {kind[:60]!r}"
        return Inspected(verdict="bad", code="TOKEN_TYP_MISMATCH", said=said, **found)  # type: ignore[arg-type]
    inner = _inner(kind, token.claims, now)
    for code, said in _defects(kind, token, inner, now):
        return Inspected(verdict="bad", code=code, said=said, inner=inner, **found)  # type: ignore[arg-type]
    said = f"it is signed by {token.claims['iss']}, and not over"
    notes = (_SELF_SAID, _ON_A_LIST, _HELD) if kind == "aitp-tct+jwt" else (_SELF_SAID,)
    return Inspected(verdict="good", said=said, notes=notes, inner=inner, **found)  # type: ignore[arg-type]


def _inner(kind: str, claims: Mapping[str, Any], now: float) -> dict[str, Inspected]:
    voucher = claims.get("voucher")
    if kind != "aitp-delegation+jwt" or not isinstance(voucher, str):
        return {}
    return {"voucher": inspect_token(voucher, now)}


def _defects(kind: str, token: Jws, inner: Mapping[str, Inspected], now: float) -> Iterator[tuple[str, str]]:
    """``(the registry's code, a sentence)``, the first of which counts."""
    claims, (forged, over) = token.claims, _CODES[kind]
    issuer = claims.get("iss")
    if not isinstance(issuer, str):
        yield forged, "it names no issuer"
        return
    if token.header.keys() != {"alg", "typ"} or token.header["alg"] != algorithm_of(issuer):
        yield "TOKEN_ALG_MISMATCH", f"its header has to be alg {algorithm_of(issuer)} and typ, and nothing else"
    if not token.is_signed_by(issuer):
        yield forged, f"its signature is not by the key of {issuer}"
    if claims.get("ver") != VERSION:
        yield "UNKNOWN_VERSION", f"it is of version {str(claims.get('ver'))[:60]!r}, and {VERSION} is spoken"
    must, may = _CLAIMS[kind]
    must |= {"ver", "iss", "exp"}
    if missing := sorted(must - claims.keys()):
        yield forged, f"it lacks {', '.join(missing)}"
    if unknown := sorted(claims.keys() - must - may):
        yield "UNKNOWN_FIELD", f"the standard knows no {', '.join(unknown)[:200]}"
    if "cnf" in must and not _is_bound(claims):
        yield "TCT_CNF_MISMATCH", "it is bound to another key than that of its subject (cnf.jkt)"
    if kind == "aitp-delegation+jwt":
        yield from _of_delegation(claims, inner)
    if type(claims.get("exp")) is not int or claims["exp"] <= now:
        yield over, "it is over"
    if type(claims.get("iat", 0)) is not int or claims.get("iat", 0) > now:
        yield "TIMESTAMP_EXPIRED", "it is of a time that has not come yet: a clock is ahead, or another one behind"


def _of_delegation(claims: Mapping[str, Any], inner: Mapping[str, Inspected]) -> Iterator[tuple[str, str]]:
    """What ties a delegation to its voucher (RFC-AITP-0006, section 4)."""
    voucher = inner.get("voucher")
    if claims.get("sub") == claims.get("iss"):
        yield "DELEGATION_INVALID_SIGNATURE", "it is for the one who made it"
    if voucher is None or voucher.kind != "grant voucher":
        yield "DELEGATION_INVALID_VOUCHER", "it has no grant voucher"
        return
    if voucher.code is not None:
        yield voucher.code, f"its voucher does not hold: {voucher.said}"
        return
    granted = voucher.document
    if granted.get("sub") != claims["iss"] or granted.get("iss") != claims["aud"]:
        yield (
            "DELEGATION_INVALID_VOUCHER",
            "its voucher is not the delegator's, or not of the one whom it is to be shown",
        )
    if beyond := sorted(_texts(claims.get("scope")) - _texts(granted.get("grants"))):
        yield "DELEGATION_SCOPE_EXCEEDED", f"its voucher does not grant {', '.join(beyond)[:200]}"
    if type(claims.get("exp")) is int and claims["exp"] > granted["exp"]:
        yield "DELEGATION_EXPIRED", "it would outlive its voucher"


def _is_bound(claims: Mapping[str, Any]) -> bool:
    try:
        return bool(claims["cnf"]["jkt"] == aitp.compute_aid_jkt(str(claims["sub"])))
    except (KeyError, TypeError, ValueError, RuntimeError):
        return False


def _texts(values: object) -> set[str]:
    return {value for value in values if isinstance(value, str)} if isinstance(values, list) else set()
