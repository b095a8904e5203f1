"""The edge of our agents: methods, hosts, bodies that do not come."""

from __future__ import annotations

import json

import pytest

from tests.interop.conftest import Room
from tests.interop.foreign.envelopes import encode

pytestmark = pytest.mark.asyncio(loop_scope="module")
requirement = pytest.mark.requirement
POSTED = [
    "/aitp/handshake/",
    "/aitp/handshake/hello",
    "/aitp/handshake/commit",
    "/aitp/pop/challenge",
    "/aitp/delegation/challenge",
    "/aitp/delegation/redeem",
    "/capabilities/demo.echo",
]


@requirement("HTTP binding", "a route answers to its methods only")
@pytest.mark.parametrize("path", POSTED)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_other_methods_are_refused(room: Room, path: str, method: str) -> None:
    answer = await room.ours.request(method, path)
    assert (answer.status, answer.headers.get("Allow")) == (405, "POST")


@requirement("HTTP binding", "a page in a browser reaches nothing")
@pytest.mark.parametrize("path", ["/.well-known/aitp-manifest", *POSTED])
async def test_browsers_are_turned_away(room: Room, path: str) -> None:
    method, body = ("GET", None) if path.startswith("/.well-known") else ("POST", "{}")
    for headers, status in (({"Host": "evil.example"}, 421), ({"Origin": "http://evil.example"}, 403)):
        answer = await room.ours.request(method, path, body, headers)
        assert answer.status == status
        assert "evil" not in json.dumps(answer.body)


#: Half a surrogate pair wherever a text stands: no UTF-8 can be made of it.
HALF = encode(b'{"iss": "\\ud800", "sub": "\\ud800", "aud": "\\ud800", "jti": "\\ud800", "voucher": "\\ud800"}')
HALVES = f"{HALF}.{HALF}.{HALF}"


#: What no route may take for anything, and none may fall over.
JUNK: dict[str, bytes] = {
    "nothing": b"",
    "half an object": b"{",
    "a list": b"[]",
    "null": b"null",
    "numbers for everything": b'{"delegation_token": 1, "version": 2, "sender": 3, "payload": 4}',
    "lists for everything": b'{"delegation_token": [], "version": [], "sender": [], "payload": [], "message_type": []}',
    "a deep list": b"[" * 20_000,
    "a deep object": b'{"payload":' * 9_000,
    "a number beyond all numbers": b'{"timestamp": ' + b"9" * 5000 + b"}",
    "NaN": b'{"timestamp": NaN}',
    "not UTF-8": b"\xff\xfe",
    "a lone surrogate": b'{"delegation_token": "\\ud800"}',
    "a delegation of half pairs": f'{{"delegation_token": "{HALVES}"}}'.encode(),
    "a NUL": b'{"delegation_token": "\\u0000"}',
    "a long text": b'{"delegation_token": "' + b"x" * 60_000 + b'"}',
}


@requirement("RFC-AITP-0001 5.6", "no input, however malformed, is answered with an error of the server's own")
@pytest.mark.parametrize("path", POSTED)
@pytest.mark.parametrize("body", JUNK.values(), ids=JUNK)
async def test_junk_is_refused_everywhere(room: Room, path: str, body: bytes) -> None:
    answer = await room.ours.request("POST", path, body, {"Content-Type": "application/json"})
    assert 400 <= answer.status < 500 or (answer.status == 200 and path == "/aitp/delegation/challenge"), answer
    if answer.status != 429:
        assert isinstance(answer.body, dict)
        assert "Traceback" not in json.dumps(answer.body)


HEADERS: dict[str, dict[str, str]] = {
    "a token of half pairs": {"X-AITP-TCT": HALVES},
    "a proof of half pairs": {
        "X-AITP-TCT": HALVES,
        "X-AITP-PoP": encode(b'{"nonce_echo": "\\ud800", "tct_jti": "\\ud800"}'),
    },
    "no token but words": {"X-AITP-TCT": "words"},
    "three segments of nothing": {"X-AITP-TCT": "a.b.c"},
    "a token of lists": {"X-AITP-TCT": "W10.W10.W10"},
    "a long token": {"X-AITP-TCT": "x" * 7000},
    "a proof of nothing": {"X-AITP-TCT": "a.b.c", "X-AITP-PoP": "e30"},
    "a proof that is a list": {"X-AITP-TCT": "a.b.c", "X-AITP-PoP": "W10"},
    "a proof that is no base64url": {"X-AITP-TCT": "a.b.c", "X-AITP-PoP": "!"},
    "a proof in the other header": {"X-AITP-TCT": "a.b.c", "x-aitp-pop-response": "e30"},
    "a session that is none": {"X-Aitp-Session-Id": "../../etc"},
    "a step that is none": {"X-AITP-Step": "x" * 3000},
}


@requirement("RFC-AITP-0001 5.6", "no input, however malformed, is answered with an error of the server's own")
@pytest.mark.parametrize("path", POSTED)
@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
async def test_junk_in_headers_is_refused_everywhere(room: Room, path: str, headers: dict[str, str]) -> None:
    answer = await room.ours.request("POST", path, "{}", {"Content-Type": "application/json", **headers})
    assert 400 <= answer.status < 500, answer
    assert isinstance(answer.body, dict)


@requirement("RFC-AITP-0001 5.6", "a head that is too long is refused as such")
async def test_a_head_that_is_too_long(room: Room) -> None:
    answer = await room.ours.request("POST", "/capabilities/demo.echo", "{}", {"X-AITP-TCT": "x" * 20_000})
    assert 400 <= answer.status < 500
    assert "xxxx" not in str(answer.body)
