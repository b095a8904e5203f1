"""Compact JWS (RFC 7515) of the protocol: read without trust, and verified with the key that an AID is.

Of its own making, beside the SDK's: that says of a token only that it is refused, and verifies no grant voucher alone.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from aitp_playground import strict_json

_PREFIX: Final = "aid:pubkey:"
_P256: Final = "p256:"
_ED25519: Final = "ed25519:"


class Malformed(Exception):
    """It is no compact JWS of JSON objects, with what is wrong."""


@dataclass(frozen=True, slots=True)
class Jws:
    """The parts of one, of which nothing is verified."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    signature: str

    @classmethod
    def parse(cls, text: str) -> Jws:
        """Raises :class:`Malformed`. What stands in the place of the signature is looked at when it is verified."""
        parts = text.split(".")
        if len(parts) != 3:
            raise Malformed(f"a compact JWS has three parts, this has {len(parts)}")
        header, claims = (_object(part, name) for part, name in zip(parts, ("header", "payload"), strict=False))
        return cls(header, claims, f"{parts[0]}.{parts[1]}".encode(), parts[2])

    def is_signed_by(self, aid: object) -> bool:
        """Whether the key in this AID made the signature, by the algorithm that goes with it."""
        if not isinstance(aid, str) or not aid.startswith(_PREFIX):
            return False
        key = aid.removeprefix(_PREFIX)
        try:
            signature = _decoded(self.signature, "signature")
            if key.startswith(_P256):
                self._verify_p256(_decoded(key.removeprefix(_P256), "key"), signature)
            else:
                raw = _decoded(key.removeprefix(_ED25519), "key")
                Ed25519PublicKey.from_public_bytes(raw).verify(signature, self.signed)
        except (InvalidSignature, ValueError, Malformed):
            return False
        return True

    def _verify_p256(self, point: bytes, signature: bytes) -> None:
        if len(signature) != 64:
            raise InvalidSignature
        r, s = (int.from_bytes(half) for half in (signature[:32], signature[32:]))
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        public.verify(encode_dss_signature(r, s), self.signed, ec.ECDSA(SHA256()))


def algorithm_of(aid: str) -> str:
    """The JOSE algorithm with which the key in an AID signs."""
    return "ES256" if aid.startswith(_PREFIX + _P256) else "EdDSA"


def _object(part: str, name: str) -> dict[str, Any]:
    try:
        value = strict_json.loads(_decoded(part, name))
    except strict_json.NotExact as fault:
        raise Malformed(f"its {name} is no JSON: {fault}") from None
    if not isinstance(value, dict):
        raise Malformed(f"its {name} is no JSON object")
    return value


def _decoded(part: str, name: str) -> bytes:
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Malformed(f"its {name} is no base64url") from None
    # A last character has bits that stand for nothing: with them a text would have several spellings.
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != part:
        raise Malformed(f"its {name} is no base64url as it is written (RFC 4648, section 3.5)")
    return raw
