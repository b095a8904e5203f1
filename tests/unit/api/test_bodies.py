"""Request bodies: what is refused, how, and that nothing bad reaches the directory."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest

from aitp_playground.api import bodies
from aitp_playground.api.bodies import MIB

from .conftest import Client, raw, raw_head
from .memory import MemoryDirectory

GOOD = {"scenario_ref": "demo/first@1"}
TELEMETRY = {"Authorization": "Bearer agent-token"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"nonsense",
        b"{'scenario_ref': 'demo/first@1'}",
        b'{"scenario_ref": "demo/first@1"} trailing',
        b'{"scenario_ref": "demo/first@1",}',
        b'\xef\xbb\xbf{"scenario_ref": "demo/first@1"}',
        b'{"scenario_ref": "\xff"}',
        b'{"scenario_ref": "\\ud800"}',
        b'{"scenario_ref": "demo/first@1", "inputs": {"n": NaN}}',
        b'{"scenario_ref": "demo/first@1", "inputs": {"n": 123456789012345678901234567890}}',
        b'{"scenario_ref": "other/x@1", "scenario_ref": "demo/first@1"}',
        b'{"scenario_ref": "demo/first@1", "inputs": {"a": 1, "a": 2}}',
        b'{"scenario_ref": "demo/first@1", "inputs": ' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}",
        b'{"scenario_ref": "demo/first@1", "inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "scenario_ref".encode("utf-16"),
    ],
)
async def test_what_is_no_unambiguous_json_is_400(client: Client, directory: MemoryDirectory, body: bytes) -> None:
    response = await client.post("/runs", data=body, headers={"Content-Type": "application/json"})
    assert response.status == 400
    assert (await response.json())["error"]["code"] == "invalid_request"
    assert directory.submitted == []


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", "nonsense"])
async def test_another_charset_is_400(client: Client, charset: str) -> None:
    headers = {"Content-Type": f"application/json; charset={charset}"}
    response = await client.post("/runs", data=json.dumps(GOOD).encode(), headers=headers)
    assert response.status == 400


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=UTF-8", "text/plain"])
async def test_utf8_json_is_taken_under_any_media_type(client: Client, content_type: str) -> None:
    response = await client.post("/runs", data=json.dumps(GOOD).encode(), headers={"Content-Type": content_type})
    assert response.status == 202


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"scenario_ref": None}, "/scenario_ref"),
        ({"scenario_ref": 7}, "/scenario_ref"),
        ({"scenario_ref": ""}, "/scenario_ref"),
        ({"inputs": []}, "/inputs"),
        ({"inputs": "text"}, "/inputs"),
        ({"template": 1}, "/template"),
        ({"run_label": "a\nb"}, "/run_label"),
        ({"run_label": "a\x00b"}, "/run_label"),
        ({"run_label": "a\x1b[31m"}, "/run_label"),
        ({"run_label": "a\x85b"}, "/run_label"),
        ({"run_label": "a\u2028b"}, "/run_label"),
        ({"run_label": "x" * 201}, "/run_label"),
        ({"run_label": 5}, "/run_label"),
        ({"fault_injection": []}, "/fault_injection"),
        ({"fault_injection": {"explode": ["writer"]}}, "/fault_injection/explode"),
        ({"fault_injection": {"peer_offline": "writer"}}, "/fault_injection/peer_offline"),
        ({"fault_injection": {"peer_offline": [1]}}, "/fault_injection/peer_offline/0"),
        ({"fault_injection": {"peer_offline": ["w"] * 101}}, "/fault_injection/peer_offline"),
        ({"extra": 1}, "/extra"),
        ({"a/b~c": 1}, "/a~1b~0c"),
        ({"status": "success"}, "/status"),
    ],
)
async def test_what_parses_and_is_wrong_is_422_with_its_place(
    client: Client, directory: MemoryDirectory, change: dict[str, Any], pointer: str
) -> None:
    response = await client.post("/runs", json={**GOOD, **change})
    error = (await response.json())["error"]
    assert (response.status, error["code"]) == (422, "invalid_request")
    assert [fault["pointer"] for fault in error["details"]] == [pointer]
    assert error["details"][0]["message"]
    assert directory.submitted == []


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"1"])
async def test_json_that_is_no_object_is_422(client: Client, directory: MemoryDirectory, body: bytes) -> None:
    response = await client.post("/runs", data=body, headers={"Content-Type": "application/json"})
    error = (await response.json())["error"]
    assert (response.status, error["code"]) == (422, "invalid_request")
    assert error["details"] == [{"pointer": "", "message": "must be a JSON object"}]
    assert directory.submitted == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"inptus": {}}, "/inptus is no key of this body; did you mean 'inputs'?"),
        (
            {"fault_injection": {"peer_ofline": ["w"]}},
            "/fault_injection/peer_ofline is no key of this body; did you mean 'peer_offline'?",
        ),
        (
            {"fault_injection": {"explode": ["w"]}},
            "/fault_injection/explode is no key of this body; known: manifest_404, peer_offline",
        ),
        ({"inputs": []}, "/inputs must be an object"),
        ({"fault_injection": {"peer_offline": "w"}}, "/fault_injection/peer_offline must be a list"),
        ({"scenario_ref": 7, "run_label": 5}, "/scenario_ref must be text (and 1 more)"),
    ],
)
async def test_the_message_alone_says_what_is_wrong(client: Client, change: dict[str, Any], told: str) -> None:
    response = await client.post("/runs", json={**GOOD, **change})
    assert (await response.json())["error"]["message"] == f"the body does not fit this route: {told}"


async def test_a_missing_ref_is_422(client: Client) -> None:
    response = await client.post("/runs", json={})
    assert response.status == 422
    assert (await response.json())["error"]["details"][0]["pointer"] == "/scenario_ref"


async def test_values_are_not_echoed_and_faults_are_bounded(client: Client) -> None:
    response = await client.post(
        "/runs", json={**GOOD, "template": ["s3cret"], **{f"k{n}": "s3cret" for n in range(99)}}
    )
    text = await response.text()
    assert "s3cret" not in text
    assert len(json.loads(text)["error"]["details"]) == 50


async def test_a_whole_request_reaches_the_directory(client: Client, directory: MemoryDirectory) -> None:
    body = {
        **GOOD,
        "inputs": {"topic": "Ünïcode \U0001f600", "n": 2**53},
        "template": "strict",
        "run_label": "first try é",
        "fault_injection": {"manifest_404": ["writer"], "peer_offline": []},
    }
    assert (await client.post("/runs", json=body)).status == 202
    (request,) = directory.submitted
    assert (request.scenario_ref, request.template, request.run_label) == (
        GOOD["scenario_ref"],
        "strict",
        "first try é",
    )
    assert request.inputs == body["inputs"]
    assert request.fault_injection == {"manifest_404": ["writer"]}


async def test_null_stands_for_absent(client: Client, directory: MemoryDirectory) -> None:
    nulls = dict.fromkeys(("inputs", "template", "run_label", "fault_injection"))
    assert (await client.post("/runs", json={**GOOD, **nulls})).status == 202
    assert (directory.submitted[0].inputs, directory.submitted[0].fault_injection) == ({}, {})


@pytest.mark.parametrize("path", ["/runs", "/internal/telemetry"])
async def test_a_declared_size_over_the_bound_is_413_before_it_is_sent(client: Client, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer agent-token\r\n"
    answer = await raw_head(client, f"{head}Content-Length: {MIB + 1}\r\n\r\n".encode())
    assert b" 413 " in answer


async def test_a_body_of_exactly_the_bound_is_read(client: Client) -> None:
    body = json.dumps(GOOD).encode()
    for size, status in [(MIB, 202), (MIB + 1, 413)]:
        response = await client.post("/runs", data=io.BytesIO(body.ljust(size)))
        assert response.status == status


async def test_a_chunked_body_over_the_bound_is_413(client: Client) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 65536

    response = await client.post("/runs", data=chunks())
    assert response.status == 413
    assert (await response.json())["error"]["code"] == "payload_too_large"


async def test_a_compressed_body_is_bounded_by_its_real_size(client: Client) -> None:
    bomb = gzip.compress(b" " * (8 * MIB))
    response = await client.post("/runs", data=bomb, headers={"Content-Encoding": "gzip"})
    assert response.status == 413


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", b"not gzip at all"),
        ("gzip", gzip.compress(json.dumps(GOOD).encode())[:-8]),
        ("gzip", gzip.compress(json.dumps(GOOD).encode())[:-1]),
        ("gzip", gzip.compress(json.dumps(GOOD).encode()) + b"more"),
        ("deflate", zlib.compress(json.dumps(GOOD).encode())[:-4]),
        ("deflate", gzip.compress(json.dumps(GOOD).encode())),
    ],
    ids=["text", "no-trailer", "short-trailer", "more", "no-checksum", "gzip-as-deflate"],
)
async def test_a_body_that_does_not_decompress_to_its_end_is_400(
    client: Client, directory: MemoryDirectory, encoding: str, data: bytes
) -> None:
    response = await client.post("/runs", data=data, headers={"Content-Encoding": encoding})
    assert response.status == 400
    assert (await response.json())["error"]["code"] == "invalid_request"
    assert directory.submitted == []


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("gzip", gzip.compress), ("X-GZIP", gzip.compress), ("deflate", zlib.compress), ("identity", bytes), ("", bytes)],
)
async def test_known_encodings_are_undone(client: Client, encoding: str, encode: Callable[[bytes], bytes]) -> None:
    data = encode(json.dumps(GOOD).encode())
    response = await client.post("/runs", data=data, headers={"Content-Encoding": encoding})
    assert response.status == 202


@pytest.mark.parametrize("path", ["/runs", "/internal/telemetry"])
@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "nonsense"])
async def test_an_encoding_that_nobody_undoes_is_415(client: Client, path: str, encoding: str) -> None:
    headers = {"Content-Encoding": encoding, **TELEMETRY}
    response = await client.post(path, data=json.dumps(GOOD).encode(), headers=headers)
    assert response.status == 415
    assert (await response.json())["error"]["code"] == "invalid_request"


async def test_a_byte_order_mark_is_named(client: Client) -> None:
    response = await client.post("/runs", data=b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
    assert "byte order mark" in (await response.json())["error"]["message"]


async def test_a_body_that_trickles_in_is_given_up(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.01)
    answer = await raw_head(client, b"POST /runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{")
    assert b" 400 " in answer


async def test_continue_is_promised_once_the_body_is_wanted(client: Client) -> None:
    body = json.dumps(GOOD).encode()
    head = b"POST /runs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\n"
    answer = await raw(client, head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 ")


async def test_a_cancel_needs_no_body_and_takes_an_empty_one(client: Client, directory: MemoryDirectory) -> None:
    for body in (b"", b"{}", b"\n"):
        directory.add()
        assert (await client.post("/runs/run-1/cancel", data=body)).status == 202
    assert (await client.post("/runs/run-1/cancel", json={"force": True})).status == 422
    assert (await client.post("/runs/run-1/cancel", data=b"nonsense")).status == 400
    assert (await client.post("/runs/run-1/cancel", data=b" " * 70_000)).status == 413


async def test_telemetry_keeps_what_an_event_log_can_hold(client: Client, directory: MemoryDirectory) -> None:
    body = b'{"emitter_seq": 3, "events": [{"notes": "\\ud800", "n": 123456789012345678901234567890}]}'
    response = await client.post("/internal/telemetry", data=body, headers=TELEMETRY)
    assert await response.json() == {"accepted": 1, "emitter_seq": 3}
    assert directory.batches == [
        ("agent-token", 3, [{"notes": "\ud800", "n": 123456789012345678901234567890}]),
    ]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[]", 422),
        (b"{", 400),
        (b'{"emitter_seq": 1, "events": [{"a": "\\ud800", "b": ' + b"[" * 300 + b"]" * 300 + b"}]}", 400),
        (b'{"emitter_seq": 1, "events": [{"b": ' + b"[" * 50_000 + b"]" * 50_000 + b"}]}", 400),
        (b'{"emitter_seq": -1, "events": []}', 422),
        (b'{"emitter_seq": true, "events": []}', 422),
        (b'{"emitter_seq": "1", "events": []}', 422),
        (b'{"emitter_seq": 1, "events": {}}', 422),
        (b'{"emitter_seq": 1, "events": [1]}', 422),
        (b'{"emitter_seq": 1}', 422),
        (b'{"emitter_seq": 1, "events": [], "run_id": "other"}', 422),
    ],
)
async def test_malformed_telemetry_is_refused(
    client: Client, directory: MemoryDirectory, body: bytes, status: int
) -> None:
    response = await client.post("/internal/telemetry", data=body, headers=TELEMETRY)
    assert response.status == status
    assert directory.batches == []


async def test_telemetry_without_a_token_is_401_before_its_body(client: Client) -> None:
    answer = await raw_head(
        client, b"POST /internal/telemetry HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n"
    )
    assert b" 401 " in answer


@pytest.mark.parametrize("depth", [197, 198, 199, 500])
async def test_whatever_is_accepted_can_be_stored(client: Client, directory: MemoryDirectory, depth: int) -> None:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    response = await client.post("/runs", json={**GOOD, "inputs": {"a": value}})
    assert response.status == (202 if depth <= 198 else 400)
    for request in directory.submitted:
        orjson.dumps({"payload": [{"header": {"inputs": request.inputs}}]})
