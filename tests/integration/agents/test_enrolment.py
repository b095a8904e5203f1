"""Enrolling with a Control Plane: the same bytes twice, and a reason for every way in which it fails."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from tests.integration.agents.control_plane import ControlPlane, Respond
from tests.integration.agents.harness import Start, TelemetrySink, WorkerProcess

ENROLL, REGISTER = "/api/registry/enroll", "/api/registry/agents"


@pytest.fixture
async def worker(start: Start, cp: ControlPlane) -> WorkerProcess:
    return await start("alice", cp=cp.section)


def answer(status: int, text: str = "", **options: Any) -> Respond:
    async def respond(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, **options)

    return respond


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport
    request.transport.close()
    return web.Response()


async def cut_short(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"token"')
    return await hang_up(request)


async def never(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def test_manifest_goes_out_twice_in_the_same_bytes_and_the_second_time_with_the_token(
    worker: WorkerProcess, cp: ControlPlane, sink: TelemetrySink
) -> None:
    got = await worker.admin("enroll-with-cp", {"namespace": "demo"})
    assert got.status == 200
    assert {name: value for name, value in got.body.items() if name != "emitter_seq"} == {
        "enrolled": True,
        "aid": worker.aid,
        "registered_at": "2026-11-22T15:46:27.146Z",
        "token_expires_in": 300,
    }
    [first], [second] = cp.asked(ENROLL), cp.asked(REGISTER)
    assert first.body == second.body
    assert json.loads(first.body) == (await worker.request("GET", "/.well-known/aitp-manifest")).body
    assert "Authorization" not in first.headers
    assert second.headers["Authorization"].startswith("Bearer ")
    assert second.headers["X-Aitp-Namespace"] == "demo"
    [event] = await sink.wait_for("cp.enroll_succeeded")
    assert (event["aid"], event["payload"]["namespace"]) == (worker.aid, "demo")
    assert second.headers["Authorization"].removeprefix("Bearer ") not in json.dumps(sink.events)


async def test_without_a_namespace_none_is_named(worker: WorkerProcess, cp: ControlPlane) -> None:
    assert (await worker.admin("enroll-with-cp", {})).body["enrolled"] is True
    assert "X-Aitp-Namespace" not in cp.asked(REGISTER)[0].headers


async def test_manifest_that_is_registered_has_its_whole_life_ahead(worker: WorkerProcess, cp: ControlPlane) -> None:
    await worker.admin("enroll-with-cp", {})
    await worker.admin("enroll-with-cp", {})
    older, newer = (json.loads(request.body)["manifest"] for request in cp.asked(ENROLL))
    assert older["signature"] != newer["signature"]
    assert newer["expires_at"] - newer["published_at"] == 7200


@pytest.mark.parametrize("path", [ENROLL, REGISTER])
@pytest.mark.parametrize(
    ("respond", "reason"),
    [
        (answer(401, '{"error": "x", "code": "TOKEN_REPLAYED"}'), "unauthorized"),
        (answer(429, "slow down", headers={"Retry-After": "60"}), "rate_limited"),
        (answer(400, '{"error": "x", "code": "MANIFEST_INVALID"}'), "http_4xx"),
        (answer(500), "http_5xx"),
        (answer(308, headers={"Location": "/elsewhere"}), "redirect"),
        (answer(204), "bad_shape"),
        (answer(200, "<html>"), "not_json"),
        (answer(200, ""), "not_json"),
        (answer(200, "[]"), "bad_shape"),
        (answer(200, '{"aid": "aid:pubkey:other", "token": "t", "expiresIn": 1, "registeredAt": "x"}'), "bad_shape"),
        (answer(200, '"' + "x" * (5 << 20) + '"'), "too_large"),
        (hang_up, "truncated"),
        (cut_short, "truncated"),
    ],
)
async def test_failure_of_either_exchange_is_an_answer_with_its_reason(
    worker: WorkerProcess, cp: ControlPlane, sink: TelemetrySink, path: str, respond: Respond, reason: str
) -> None:
    cp.answers[path] = respond
    got = await worker.admin("enroll-with-cp", {})
    assert (got.status, got.body["enrolled"], got.body["error"]) == (200, False, reason)
    assert got.body["stage"] == ("enroll" if path == ENROLL else "register")
    assert len(cp.asked(REGISTER)) == (0 if path == ENROLL else 1)
    [event] = await sink.wait_for("cp.enroll_failed")
    assert (event["cause"], event["payload"]["stage"]) == (reason, got.body["stage"])
    assert not sink.of_type("cp.enroll_succeeded")
    cp.answers.clear()
    assert (await worker.admin("enroll-with-cp", {})).body["enrolled"] is True


@pytest.mark.parametrize(
    "changes", [{"token": None}, {"token": ""}, {"token": "a\r\nX-Evil: 1"}, {"expiresIn": "300"}, {"expiresIn": None}]
)
async def test_enrolment_answer_of_the_wrong_shape_goes_no_further(
    worker: WorkerProcess, cp: ControlPlane, changes: dict[str, Any]
) -> None:
    body = {"token": "t", "expiresIn": 300, "aid": worker.aid} | changes
    cp.answers[ENROLL] = answer(200, json.dumps(body))
    got = await worker.admin("enroll-with-cp", {})
    assert (got.body["enrolled"], got.body["error"]) == (False, "bad_shape")
    assert not cp.asked(REGISTER)


async def test_control_plane_that_is_not_there_is_refused(start: Start, cp: ControlPlane, sink: TelemetrySink) -> None:
    worker = await start("alice", cp=cp.section)
    await cp.close()
    got = await worker.admin("enroll-with-cp", {})
    assert (got.status, got.body["error"], got.body["stage"]) == (200, "refused", "enroll")
    assert (await sink.wait_for("cp.enroll_failed"))[0]["cause"] == "refused"


async def test_control_plane_that_never_answers_is_given_up(worker: WorkerProcess, cp: ControlPlane) -> None:
    cp.answers[ENROLL] = never
    got = await worker.admin("enroll-with-cp", {})
    assert (got.body["enrolled"], got.body["error"]) == (False, "timeout")


async def test_without_a_control_plane_enrolment_is_skipped(start: Start) -> None:
    worker = await start("alice")
    got = await worker.admin("enroll-with-cp", {})
    assert (got.status, got.body["enrolled"], got.body["skipped"]) == (200, False, "no cp")


async def test_manifest_too_short_lived_for_the_registry_is_not_offered(start: Start, cp: ControlPlane) -> None:
    worker = await start("alice", cp=cp.section, ttl_secs=300)
    got = await worker.admin("enroll-with-cp", {})
    assert (got.body["enrolled"], got.body["error"]) == (False, "manifest_too_short")
    assert not cp.asked(ENROLL)


@pytest.mark.parametrize(
    "body",
    [{"url": "http://evil/"}, {"namespace": 1}, {"namespace": ""}, {"namespace": "a\nb"}, {"namespace": "x" * 129}],
)
async def test_request_names_a_namespace_and_nothing_else(
    worker: WorkerProcess, cp: ControlPlane, body: dict[str, Any]
) -> None:
    assert (await worker.admin("enroll-with-cp", body)).status == 400
    assert not cp.asked(ENROLL)
