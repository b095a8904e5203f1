"""What stands in a delegation token (RFC-AITP-0006, section 2), before anybody has verified it."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from typing import Any

from base.protocol.diagnosis import DELEGATION_TYPE
from base.protocol.tokens import decode_claims, decode_segment
from base.refusals import RedemptionRefusal

#: Members of a chain of delegations (RFC-AITP-0011), of which a single one has none.
_OF_CHAINS = frozenset({"chain", "chain_hash", "jti"})


@dataclass(frozen=True, slots=True)
class Delegation:
    """A delegation's text, its claims, and those of the grant voucher inside."""

    text: str = field(repr=False)
    claims: dict[str, Any]
    voucher: dict[str, Any]

    @property
    def source_jti(self) -> str:
        """The TCT that the voucher came with."""
        return str(self.voucher.get("src_jti"))


def read_delegation(text: str) -> Delegation:
    """Take one apart. Raises ``tct_invalid`` for what is none, ``delegation_chained`` for a link of a chain."""
    try:
        kind, claims = decode_segment(text, 0).get("typ"), decode_claims(text)
    except ValueError:
        raise RedemptionRefusal("tct_invalid", "not a delegation token") from None
    if kind != DELEGATION_TYPE:
        raise RedemptionRefusal("tct_invalid", "not a delegation token", registry="TOKEN_TYP_MISMATCH")
    if claims.keys() & _OF_CHAINS:
        raise RedemptionRefusal("delegation_chained", "a delegation out of another is not taken here")
    try:
        return Delegation(text, claims, decode_claims(claims.get("voucher")))
    except ValueError:
        message = "the delegation holds no grant voucher"
        raise RedemptionRefusal("tct_invalid", message, registry="DELEGATION_INVALID_VOUCHER") from None


def delegation_jti(text: str) -> str:
    """A version 4 UUID for a delegation token, which has none of its own; the same each time it is asked for."""
    return str(uuid.UUID(bytes=hashlib.sha256(text.encode()).digest()[:16], version=4))


def reported(claims: dict[str, Any]) -> dict[str, Any]:
    """A delegation's claims as they may be reported: the voucher inside is a token, so its claims stand in for it."""
    return claims | {"voucher": decode_claims(claims["voucher"])} if "voucher" in claims else claims
