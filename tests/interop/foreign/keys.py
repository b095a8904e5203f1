"""Keys and what they sign: AIDs (RFC-AITP-0001 5.3), signature fields (5.4.3) and compact tokens (5.4.5)."""

from __future__ import annotations

import secrets
from typing import Any, Literal

from aitp_verifier.aid import parse_aid
from aitp_verifier.b64 import b64url_encode
from aitp_verifier.crypto import P256_N, PrivateKey, sha256
from aitp_verifier.jcs import canonicalize
from aitp_verifier.jwk import thumbprint
from aitp_verifier.jws import encode_jws

Suite = Literal["ed25519", "p256"]
#: An Ed25519 key has two AIDs: with its algorithm named and without.
Spelling = Literal["plain", "tagged"]

_ALG = {"ed25519": "EdDSA", "p256": "ES256"}


class Key:
    """A signing key under one spelling of its AID."""

    def __init__(self, suite: Suite = "ed25519", spelling: Spelling = "plain", seed: bytes | None = None) -> None:
        self.suite: Suite = suite
        self.seed = seed or secrets.token_bytes(32)
        if suite == "ed25519":
            self._private = PrivateKey.ed25519_from_seed(self.seed)
        else:
            self._private = PrivateKey.p256_from_scalar(int.from_bytes(self.seed, "big") % (P256_N - 1) + 1)
        tag = f"{suite}:" if suite == "p256" or spelling == "tagged" else ""
        #: As it stands in ``identity`` and ``identity_hint``.
        self.public = b64url_encode(self._private.raw_public())
        self.aid = f"aid:pubkey:{tag}{self.public}"

    @property
    def thumbprint(self) -> str:
        return thumbprint_of(self.aid)

    def spelled(self, spelling: Spelling) -> Key:
        """The same key under the other name."""
        return Key(self.suite, spelling, self.seed)

    def sign(self, message: bytes) -> str:
        """A signature field: over the SHA-256 of the message, tagged where the key is P-256."""
        signature = b64url_encode(self._private.sign_digest(sha256(message)))
        return f"p256.{signature}" if self.suite == "p256" else signature

    def token(self, kind: str, claims: dict[str, Any], alg: str | None = None) -> str:
        """A compact JWS of that ``typ``."""
        return encode_jws(kind, claims, self._private, alg=alg or _ALG[self.suite])

    def compact(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """A compact JWS under any header at all: what a forger sends."""
        signed = f"{b64url_encode(canonicalize(header))}.{b64url_encode(canonicalize(claims))}"
        return f"{signed}.{b64url_encode(self._private.sign_jose(signed.encode()))}"


def thumbprint_of(aid: str) -> str:
    """The RFC 7638 thumbprint of the key in an AID, as in ``cnf.jkt``."""
    return thumbprint(parse_aid(aid))


def same_key(one: str, other: str) -> bool:
    """Whether two AIDs name one key: they are one agent then (RFC-AITP-0001 5.3)."""
    first, second = parse_aid(one), parse_aid(other)
    return (first.alg, first.raw_key) == (second.alg, second.raw_key)
