"""The Control Plane's own key: its AID, its manifest, the list it signs, the tokens it hands out."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aitp

from aitp_playground import private_files

NAME = "aitp-control-plane"
MANIFEST_SECONDS = 86_400
LIST_SECONDS = 3600
_SEED_BYTES = 32


class SeedInvalid(ValueError):
    """The seed file does not hold a seed."""


class Identity:
    """An Ed25519 identity made from a seed of 32 bytes. ``url`` is where its Control Plane is reached."""

    def __init__(self, seed: bytes, url: str = "http://localhost") -> None:
        self._agent = aitp.AitpAgent.from_seed(seed)
        self._token_key = hmac.digest(seed, b"enrolment tokens", hashlib.sha256)
        self.aid: str = self._agent.aid
        # Signed once, as a Control Plane does: after a day of uptime it verifies as expired. It offers nothing, and
        # names an endpoint that answers 404: nobody shakes hands with a Control Plane.
        self.manifest: str = self._agent.build_manifest(
            NAME, f"{url}/api/aitp/handshake/hello", [], ttl_secs=MANIFEST_SECONDS
        )

    def sign_list(self, entries: Sequence[dict[str, Any]], lifetime: int = LIST_SECONDS) -> str:
        """The signed revocation list (AITP revocation lists, wire version aitp/0.3), valid for ``lifetime`` seconds.

        Raises ``ValueError`` or ``RuntimeError`` for a jti that is no UUID of version 4.
        """
        return self._agent.sign_revocation_list(list(entries), expires_in_secs=lifetime)

    def token_mac(self, text: bytes) -> bytes:
        """HMAC-SHA256 of an enrolment token's content; the same after a restart."""
        return hmac.digest(self._token_key, text, hashlib.sha256)


def load_seed(path: Path | None) -> bytes:
    """The seed in ``path``, as 32 raw bytes or 64 hex digits; a missing file is made (0600). None: one for now only.

    Raises :class:`SeedInvalid` or ``OSError``.
    """
    if path is None:
        return os.urandom(_SEED_BYTES)
    if not path.exists():
        private_files.create(path, os.urandom(_SEED_BYTES).hex().encode() + b"\n")
    return _read_seed(path)


def _read_seed(path: Path) -> bytes:
    raw = path.read_bytes()
    if len(raw) == _SEED_BYTES:
        return raw
    try:
        seed = bytes.fromhex(raw.decode("ascii").strip())
    except ValueError:
        seed = b""
    if len(seed) != _SEED_BYTES:
        raise SeedInvalid(f"{path} must hold a seed: 32 raw bytes, or 64 hex digits")
    return seed
