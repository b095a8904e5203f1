"""An identity that an issuer vouches for (RFC-AITP-0002 2): the issuer, and the descriptor with its token."""

from __future__ import annotations

from typing import Any

from tests.interop.foreign.agent import ForeignAgent
from tests.interop.foreign.envelopes import Envelope
from tests.interop.foreign.keys import Key


class Issuer:
    """An identity provider with one Ed25519 key."""

    def __init__(self, url: str = "https://idp.example/realm") -> None:
        self.url = url
        self._key = Key()

    @property
    def jwk(self) -> dict[str, str]:
        return {"kty": "OKP", "crv": "Ed25519", "kid": "one", "x": self._key.public}

    def claims(self, agent: ForeignAgent, envelope: Envelope, receiver: str) -> dict[str, Any]:
        """What it says of an agent, for one message to one receiver (2.2)."""
        now = agent.now()
        return {
            "iss": self.url,
            "sub": agent.name,
            "aud": receiver,
            "iat": now,
            "exp": now + 120,
            "nonce": envelope["payload"]["pop_nonce"],
            "cnf": {"jkt": agent.key.thumbprint},
        }

    def token(self, claims: dict[str, Any], **header: Any) -> str:
        """A signed token; ``header`` adds to, or changes, its header."""
        given = {"alg": "EdDSA", "typ": "JWT", "kid": "one"} | header
        return self._key.compact({name: value for name, value in given.items() if value is not None}, claims)

    def hint(self, agent: ForeignAgent) -> dict[str, Any]:
        """For the manifest."""
        return {"type": "oidc", "subject": agent.name, "issuer": self.url}

    def descriptor(self, agent: ForeignAgent, token: str) -> dict[str, Any]:
        """For the message."""
        return {**self.hint(agent), "proof": token}
