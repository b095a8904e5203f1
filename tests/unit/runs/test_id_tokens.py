"""ID tokens of a run's issuer: for the agent that was launched, to whom it knows, and for nobody else."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import aitp
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from aitp_playground.errors import Forbidden, Unauthorized
from aitp_playground.runs.id_tokens import LIFE, IdTokenDesk, RunIssuer, Subject

ISSUER = "https://idp.example/"
FRIEND = "aid:pubkey:friend"


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def verified(token: str, issuer: RunIssuer) -> dict[str, Any]:
    """The claims, of a token that this issuer's public key verifies."""
    signed, _, signature = token.rpartition(".")
    Ed25519PublicKey.from_public_bytes(decoded(issuer.jwk["x"])).verify(decoded(signature), signed.encode())
    head, claims = (json.loads(decoded(part)) for part in signed.split("."))
    assert head == {"alg": "EdDSA", "typ": "JWT", "kid": issuer.jwk["kid"]}
    return dict(claims)


class Bench:
    """A desk at which one agent may ask, under the AID that it has."""

    def __init__(self) -> None:
        self.aid = aitp.AitpAgent.generate().aid
        self.issuer, self.desk = RunIssuer(ISSUER), IdTokenDesk()
        self.desk.admit("secret", Subject(self.issuer, "researcher", lambda: self.aid, FRIEND.__eq__))

    def ask(self, secret: str = "secret", aid: str | None = None, audience: str = FRIEND) -> dict[str, Any]:
        given = self.desk.issue(secret, aid or self.aid, audience, "a nonce")["id_token"]
        return verified(str(given), self.issuer)


@pytest.mark.parametrize("suite", ["ed25519", "p256"])
def test_token_says_whose_key_it_is_for_one_message_to_one_receiver(suite: Any) -> None:
    bench = Bench()
    bench.aid = aitp.AitpAgent.generate(suite).aid
    claims = bench.ask()
    issued_at = claims.pop("iat")
    assert abs(issued_at - time.time()) < 300
    assert claims == {
        "iss": ISSUER,
        "sub": "researcher",
        "aud": FRIEND,
        "exp": issued_at + LIFE,
        "nonce": "a nonce",
        "cnf": {"jkt": aitp.compute_aid_jkt(bench.aid)},
    }


def test_nobody_gets_a_token_for_another_or_for_whom_it_does_not_know() -> None:
    bench = Bench()
    for refused in (
        lambda: bench.ask(aid=aitp.AitpAgent.generate().aid),
        lambda: bench.ask(audience="aid:pubkey:stranger"),
    ):
        with pytest.raises(Forbidden):
            refused()
    with pytest.raises(Unauthorized):
        bench.ask(secret="secret ")


def test_agent_that_has_another_key_gets_tokens_for_that_one_alone() -> None:
    bench = Bench()
    old, bench.aid = bench.aid, aitp.AitpAgent.generate().aid
    assert bench.ask()["cnf"] == {"jkt": aitp.compute_aid_jkt(bench.aid)}
    with pytest.raises(Forbidden):
        bench.ask(aid=old)


def test_agent_that_is_gone_gets_none() -> None:
    bench = Bench()
    bench.desk.forget("secret")
    bench.desk.forget("secret")
    with pytest.raises(Unauthorized):
        bench.ask()
    assert len(bench.desk) == 0


def test_each_issuer_has_a_key_of_its_own_and_shows_its_public_half_alone() -> None:
    bench, other = Bench(), RunIssuer(ISSUER)
    assert other.jwk.keys() == {"kty", "crv", "kid", "use", "alg", "x"}
    with pytest.raises(InvalidSignature):
        verified(str(bench.desk.issue("secret", bench.aid, FRIEND, "n")["id_token"]), other)
