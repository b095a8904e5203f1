"""Agents' keys: derived from a secret of this installation, so that they are stable and nobody can compute them."""

from __future__ import annotations

import contextlib
import itertools
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from aitp_playground import private_files
from aitp_playground.errors import ConfigurationError

SECRET_BYTES = 32
_SECRET_FILE = "identity.secret"  # noqa: S105 - a file name
_PURPOSE = b"aitp-playground agent seed v1"
#: The order of P-256's base point, FIPS 186-5 (SP 800-186, section 3.2.1.3).
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def installation_secret(state_dir: Path) -> bytes:
    """The installation secret, made on first use. Two processes that make it at once get the same one.

    Raises ``ConfigurationError`` when the file is not a private, regular file of ours with 32 bytes.
    """
    file = state_dir / _SECRET_FILE
    with _usable(file):
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_there(file):
            private_files.create(file, secrets.token_bytes(SECRET_BYTES))
        return _read(file)


def check_secret(state_dir: Path) -> None:
    """Look at the one that is there, if one is, and make none. Raises as :func:`installation_secret`."""
    file = state_dir / _SECRET_FILE
    with _usable(file):
        if _is_there(file):
            _read(file)


def derive_seed(
    secret: bytes, org: Literal["internal", "external"], run_id: str, agent_id: str, generation: int
) -> bytes:
    """32 bytes: an Ed25519 seed, and a P-256 scalar as well.

    HKDF-SHA256 (RFC 5869); ``info`` holds every part with its length before it, so that no two lists of parts read the
    same. ``org`` is one of them: an external agent shares no key with an internal one of the same name. A P-256 scalar
    must lie between 1 and the group's order; the one output in 2^32 that does not is passed over for the next.
    """
    parts = (_PURPOSE, org.encode(), run_id.encode(), agent_id.encode(), str(generation).encode())
    info = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    for attempt in itertools.count():
        seed = HKDF(SHA256(), SECRET_BYTES, salt=None, info=info + attempt.to_bytes(4, "big")).derive(secret)
        if 0 < int.from_bytes(seed, "big") < _P256_ORDER:
            return seed
    raise AssertionError


@contextlib.contextmanager
def _usable(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        raise ConfigurationError(f"STATE_DIR: {file} cannot be used: {failure.strerror or failure}") from failure


def _is_there(file: Path) -> bool:
    return file.is_symlink() or file.exists()


def _read(file: Path) -> bytes:
    try:
        secret = private_files.read(file, SECRET_BYTES + 1)
    except private_files.NotPrivate as failure:
        remedy = "Remove it, so that new keys are made, or set its mode to 600 if nobody has read it."
        raise ConfigurationError(
            f"STATE_DIR: {file} cannot be trusted: {failure.strerror}.{f' {remedy}' if failure.mode else ''}"
        ) from None
    if len(secret) != SECRET_BYTES:
        raise ConfigurationError(f"STATE_DIR: {file} is damaged: it does not hold {SECRET_BYTES} bytes. Remove it.")
    return secret
