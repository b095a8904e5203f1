"""A delegation token leaves as its digest, wherever in a result it stands, and nothing else is touched."""

from __future__ import annotations

import base64
import copy
import json
from hashlib import sha256
from typing import Any

import pytest

from aitp_playground.events.tokens import digested, may_hold_token


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()


TOKEN = f"{part({'alg': 'EdDSA', 'typ': 'JWT'})}.{part({'jti': 'x' * 30})}.{'s' * 86}"
OTHER = f"{part({'typ': 'x'})}.{part({'a': 1})}.{'-_' * 20}"


def shown(token: str) -> str:
    return f"sha256:{sha256(token.encode()).hexdigest()}"


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"delegation_token": TOKEN, "scope": ["a"]}, {"delegation_token": shown(TOKEN), "scope": ["a"]}),
        ({"deep": [{"token": TOKEN}, OTHER]}, {"deep": [{"token": shown(TOKEN)}, shown(OTHER)]}),
        ({"said": f"<{TOKEN}> and {OTHER}!"}, {"said": f"<{shown(TOKEN)}> and {shown(OTHER)}!"}),
        ({TOKEN: 1}, {shown(TOKEN): 1}),
    ],
)
def test_a_token_becomes_its_digest(payload: Any, expected: Any) -> None:
    before = copy.deepcopy(payload)
    assert digested(payload) == expected
    assert payload == before
    assert may_hold_token(json.dumps(payload).encode())


@pytest.mark.parametrize(
    "payload",
    [{"n": 1.5, "t": None, "ok": True}, "eyJ", "eyJhbGciOiJ4In0.x", "a.b.c", {"url": "http://h/a.b.c"}, [1, "2"]],
)
def test_what_is_no_token_stays(payload: Any) -> None:
    assert digested(payload) == payload
