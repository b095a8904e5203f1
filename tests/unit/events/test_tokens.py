"""What stands in the place of a token."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from typing import Any

import aitp
import pytest

from aitp_playground.events.tokens import fingerprint, may_hold_token, without_tokens
from tests.contract.test_delegations import handshake

ONE, OTHER, HELD = handshake()
TOKEN: str = ONE.keys.build_delegation(HELD["grant_voucher"], aitp.AitpAgent.generate().aid, ["demo.b"])
SHOWN = "sha256:" + hashlib.sha256(TOKEN.encode()).hexdigest()


def test_a_fingerprint_is_the_digest_of_the_tokens_text() -> None:
    assert fingerprint(TOKEN) == SHOWN


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (TOKEN, SHOWN),
        ({"result": {"delegation_token": TOKEN}}, {"result": {"delegation_token": SHOWN}}),
        ({"deep": [{"er": [f"Bearer {TOKEN}, or so"]}]}, {"deep": [{"er": [f"Bearer {SHOWN}, or so"]}]}),
        ({TOKEN: 1}, {SHOWN: 1}),
        ([f"{TOKEN} {TOKEN}"], [f"{SHOWN} {SHOWN}"]),
    ],
    ids=["alone", "in an object", "deep within a text", "as a name", "twice"],
)
def test_a_token_is_replaced_wherever_it_is(told: Any, shown: Any) -> None:
    assert without_tokens(told) == shown


@pytest.mark.parametrize("kind", ["tct", "grant_voucher"])
def test_every_kind_of_token_is_one(kind: str) -> None:
    assert without_tokens({"x": HELD[kind]}) == {"x": fingerprint(HELD[kind])}


@pytest.mark.parametrize("plain", ["eyes.on.you", "a.b.c", "hey there. they.say.so", "1.2.3", "", 7, None, True, [1.5]])
def test_what_is_no_token_stays(plain: Any) -> None:
    assert without_tokens(plain) == plain


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()


FIRST = f"{part({'alg': 'EdDSA', 'typ': 'JWT'})}.{part({'jti': 'x' * 30})}.{'s' * 86}"
SECOND = f"{part({'typ': 'x'})}.{part({'a': 1})}.{'-_' * 20}"


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"delegation_token": FIRST, "scope": ["a"]}, {"delegation_token": fingerprint(FIRST), "scope": ["a"]}),
        ({"deep": [{"token": FIRST}, SECOND]}, {"deep": [{"token": fingerprint(FIRST)}, fingerprint(SECOND)]}),
        ({"said": f"<{FIRST}> and {SECOND}!"}, {"said": f"<{fingerprint(FIRST)}> and {fingerprint(SECOND)}!"}),
        ({FIRST: 1}, {fingerprint(FIRST): 1}),
    ],
)
def test_a_token_becomes_its_digest(payload: Any, expected: Any) -> None:
    before = copy.deepcopy(payload)
    assert without_tokens(payload) == expected
    assert payload == before
    assert may_hold_token(json.dumps(payload).encode())


@pytest.mark.parametrize(
    "payload",
    [{"n": 1.5, "t": None, "ok": True}, "eyJ", "eyJhbGciOiJ4In0.x", "a.b.c", {"url": "http://h/a.b.c"}, [1, "2"]],
)
def test_what_only_looks_like_a_token_stays(payload: Any) -> None:
    assert without_tokens(payload) == payload
