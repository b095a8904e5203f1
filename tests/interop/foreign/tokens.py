"""Tokens: TCT (RFC-AITP-0005 2), grant voucher (0005 8) and delegation (0006 2)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from aitp_verifier.jws import parse_compact

from tests.interop.foreign.envelopes import VERSION
from tests.interop.foreign.keys import Key, thumbprint_of

TCT, VOUCHER, DELEGATION = "aitp-tct+jwt", "aitp-grant+jwt", "aitp-delegation+jwt"
LIFE = 3600


@dataclass(frozen=True)
class Grant:
    """What one agent gave another: a token and, if the giver has nothing against delegation, a voucher."""

    tct: str
    voucher: str | None = None

    @property
    def claims(self) -> dict[str, Any]:
        return claims_of(self.tct)

    @property
    def jti(self) -> str:
        return str(self.claims["jti"])


def claims_of(token: str) -> dict[str, Any]:
    """A token's claims, unverified."""
    claims: dict[str, Any] = parse_compact(token).claims
    return claims


def grant(
    key: Key, holder: str, grants: list[str], now: int, until: int, *, voucher: bool = True, **changes: Any
) -> Grant:
    """A TCT for ``holder`` that ends by ``until`` at the latest; ``changes`` to its claims are signed like the rest."""
    claims = {
        "ver": VERSION,
        "iss": key.aid,
        "sub": holder,
        "aud": holder,
        "iat": now,
        "exp": min(now + LIFE, until),
        "jti": str(uuid.uuid4()),
        "grants": grants,
        "cnf": {"jkt": thumbprint_of(holder)},
    } | changes
    return Grant(key.token(TCT, claims), voucher_for(key, claims) if voucher else None)


def voucher_for(key: Key, tct: dict[str, Any], **changes: Any) -> str:
    """The companion of a TCT, which may be built into delegations (0005 8)."""
    same = {name: tct[name] for name in ("ver", "iss", "sub", "iat", "exp", "grants")}
    return key.token(VOUCHER, {**same, "src_jti": tct["jti"], **changes})


def delegation(key: Key, source: str, delegatee: str, scope: list[str], **changes: Any) -> str:
    """A part of what the ``source`` voucher says, handed on to ``delegatee``, until the voucher ends (0006 2)."""
    given = claims_of(source)
    claims = {
        "ver": VERSION,
        "iss": key.aid,
        "sub": delegatee,
        "aud": given["iss"],
        "scope": scope,
        "exp": given["exp"],
        "cnf": {"jkt": thumbprint_of(delegatee)},
        "voucher": source,
    } | changes
    return key.token(DELEGATION, {name: value for name, value in claims.items() if value is not None})
