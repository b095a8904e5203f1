"""The shipped writer, each of whose revocation lists is dated a second before the one before it."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json

from aitp_verifier.crypto import PrivateKey
from aitp_verifier.jcs import canonicalize

from base.protocol.identity import Identity
from base.protocol.revocation import RevocationState
from writer.main import worker

_sign = RevocationState.signed_list
_seconds = itertools.count(1)


def _backdated(self: RevocationState, identity: Identity) -> str:
    """The SDK dates a list itself, so this one is signed without it."""
    body = json.loads(_sign(self, identity))["revocation_list"]
    body["published_at"] -= next(_seconds)
    key = PrivateKey.ed25519_from_seed(identity._bootstrap.seed)
    signature = key.sign_digest(hashlib.sha256(canonicalize(body)).digest())
    return json.dumps({"revocation_list": body, "signature": base64.urlsafe_b64encode(signature).rstrip(b"=").decode()})


if __name__ == "__main__":
    RevocationState.signed_list = _backdated  # type: ignore[method-assign]
    worker.run()
