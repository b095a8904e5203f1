"""The OIDC issuers of runs, and who gets an ID token of theirs.

An agent that held its issuer's key would vouch for itself. So the key of a run's issuer is made here, is never written
down and never leaves the process; an agent asks for each ID token (RFC-AITP-0002, section 2.2), and gets one for the
AID and the subject that were launched, for an agent that it was introduced to, and for nobody else.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aitp
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aitp_playground.errors import Forbidden, Unauthorized

#: Seconds that an ID token may be used: it is for the one message that is being made.
LIFE = 120
KEY_ID = "run"
#: Where agents ask for them.
PATH = "/internal/oidc-token"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class RunIssuer:
    """One issuer of one run. ``url`` is its name and no address: its keys reach the agents with their launch."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._key = Ed25519PrivateKey.generate()

    @property
    def jwk(self) -> dict[str, str]:
        """Its public key (RFC 7517, RFC 8037)."""
        public = _base64url(self._key.public_key().public_bytes_raw())
        return {"kty": "OKP", "crv": "Ed25519", "kid": KEY_ID, "use": "sig", "alg": "EdDSA", "x": public}

    def id_token(self, subject: str, aid: str, audience: str, nonce: str) -> str:
        """A signed JWT that says that whoever has that AID's key is ``subject``, to ``audience``, once."""
        now = int(time.time())
        claims = {"iss": self.url, "sub": subject, "aud": audience, "iat": now, "exp": now + LIFE, "nonce": nonce}
        claims["cnf"] = {"jkt": aitp.compute_aid_jkt(aid)}
        head = {"alg": "EdDSA", "typ": "JWT", "kid": KEY_ID}
        signed = ".".join(_base64url(orjson.dumps(part)) for part in (head, claims))
        return f"{signed}.{_base64url(self._key.sign(signed.encode()))}"


@dataclass(frozen=True, slots=True)
class Subject:
    """An agent that was launched with an OIDC identity. ``aid`` is the one that it has now; ``knows``, whether an AID
    is of somebody that it was introduced to."""

    issuer: RunIssuer = field(repr=False)
    name: str
    aid: Callable[[], str]
    knows: Callable[[str], bool]


class IdTokenDesk:
    """Gives out ID tokens, each against the secret of one agent. Only hashes of those are kept."""

    def __init__(self) -> None:
        self._subjects: dict[bytes, Subject] = {}

    def __len__(self) -> int:
        """How many agents may ask."""
        return len(self._subjects)

    def admit(self, secret: str, subject: Subject) -> None:
        """From now on ``secret`` asks for this subject."""
        self._subjects[_digest(secret)] = subject

    def forget(self, secret: str) -> None:
        """The agent is gone."""
        self._subjects.pop(_digest(secret), None)

    def issue(self, secret: str, aid: str, audience: str, nonce: str) -> dict[str, Any]:
        """``{"id_token"}``. Raises Unauthorized, and Forbidden for another AID or somebody who is not known."""
        subject = self._subjects.get(_digest(secret))
        if subject is None:
            raise Unauthorized("this secret belongs to no agent with an OIDC identity of a running run")
        if aid != subject.aid():
            raise Forbidden("an ID token is given for the AID that was launched, and for no other")
        if not subject.knows(audience):
            raise Forbidden("the audience is nobody whom the agent was introduced to")
        return {"id_token": subject.issuer.id_token(subject.name, aid, audience, nonce)}


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
