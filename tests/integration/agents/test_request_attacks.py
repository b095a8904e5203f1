"""What no honest agent sends, at every door of a live one: refused, told in its log by class, and it works on."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest

from base.http.turned_away import LINES_AT_ONCE
from tests.integration.agents.harness import SdkPeer, WorkerProcess, introduce

ECHO = "/capabilities/demo.echo"
#: Each door for a body, as the log names it, and the largest body that it reads.
DOORS = {
    "/aitp/handshake/hello": ("/aitp/handshake/{message}", 64 << 10),
    "/aitp/handshake/commit": ("/aitp/handshake/{message}", 64 << 10),
    "/aitp/handshake/": ("/aitp/handshake/", 64 << 10),
    "/aitp/pop/challenge": ("/aitp/pop/challenge", 64 << 10),
    "/aitp/delegation/challenge": ("/aitp/delegation/challenge", 64 << 10),
    "/aitp/delegation/redeem": ("/aitp/delegation/redeem", 64 << 10),
    "/aitp/tct/renew": ("/aitp/tct/renew", 64 << 10),
    "/aitp/session-bundles/x": ("/aitp/session-bundles/{ref}", 64 << 10),
    ECHO: ("/capabilities/{name}", 2 << 20),
}
#: What is looked at only of who has shown a token, or not at all.
UNREAD = {"/aitp/pop/challenge", "/aitp/session-bundles/x"}


class Bench:
    """A worker, an honest caller and its token."""

    def __init__(self, worker: WorkerProcess, peer: SdkPeer, token: str) -> None:
        self.worker, self.peer, self.token = worker, peer, token

    async def headers(self, path: str) -> dict[str, str]:
        """At a capability the body is read of a proven caller alone."""
        return await self.peer.proof(self.worker, self.token) if path == ECHO else {"X-AITP-TCT": self.token}

    async def logged(self, line: str) -> None:
        async with asyncio.timeout(300):
            while line.encode() not in self.worker.err:  # noqa: ASYNC110 - a pipe sends no events
                await asyncio.sleep(0.01)

    async def works(self) -> None:
        answer = await self.worker.request("POST", ECHO, "{}", await self.peer.proof(self.worker, self.token))
        assert answer.status == 200, answer


@pytest.fixture
async def bench(worker: WorkerProcess) -> Bench:
    peer = SdkPeer("peer")
    await introduce(worker, peer)
    return Bench(worker, peer, await peer.token_from(worker))


MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"a": "\xff"}',
    "no object": b"[1]",
    "NaN": b'{"a": NaN}',
    "half a pair": b'{"a": "\\ud800"}',
    "too deep": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "a number without end": b'{"a": 1' + b"0" * 5000 + b"}",
}


@pytest.mark.parametrize("path", [path for path in DOORS if path not in UNREAD])
async def test_malformed_body_is_refused_by_its_class_and_the_agent_works_on(bench: Bench, path: str) -> None:
    for name, body in MALFORMED.items():
        if name == "nothing" and path == ECHO:
            continue  # a capability may be called with nothing to say
        answer = await bench.worker.request("POST", path, body or b" ", await bench.headers(path))
        assert answer.status == 400, (name, answer)
        code = (answer.body.get("payload") or answer.body["error"])["code"]
        assert code == "INVALID_ENVELOPE", (name, answer)
    await bench.logged(f"refused POST {DOORS[path][0]}: 400 invalid_request")
    await bench.works()


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize("packed", [False, True], ids=["as it is", "packed"])
async def test_oversized_body_is_413_and_the_agent_works_on(bench: Bench, path: str, packed: bool) -> None:
    body = b'{"a": "' + b"x" * DOORS[path][1] + b'"}'
    headers = await bench.headers(path)
    if packed:
        body, headers = gzip.compress(body), headers | {"Content-Encoding": "gzip"}
    answer = await bench.worker.request("POST", path, body, headers)
    assert answer.status in ((413, 415) if packed else (413,)), answer
    code = "payload_too_large" if answer.status == 413 else "invalid_request"
    await bench.logged(f"refused POST {DOORS[path][0]}: {answer.status} {code}")
    await bench.works()


@pytest.mark.parametrize("path", DOORS)
async def test_body_of_another_kind_is_refused_and_the_agent_works_on(bench: Bench, path: str) -> None:
    headers = await bench.headers(path) | {"Content-Type": "text/plain"}
    answer = await bench.worker.request("POST", path, b"{}", headers)
    assert answer.status == 400, answer
    await bench.logged(f"refused POST {DOORS[path][0]}: 400 invalid_request")
    await bench.works()


@pytest.mark.parametrize("token", ["", "guess", "of another agent", "its own hash"])
async def test_admin_call_without_the_token_does_nothing_and_is_logged(bench: Bench, make: Any, token: str) -> None:
    worker = bench.worker
    shown = {"": "", "guess": "Bearer x", "its own hash": f"Bearer {worker.document['admin_token_sha256']}"}.get(token)
    if shown is None:
        shown = f"Bearer {make('other').admin_token}"
    for method, route, body in (
        ("POST", "revoke-tct", {"audience": "peer"}),
        ("POST", "rotate-keys", {}),
        ("POST", "export-session-bundle", {"participants": ["peer"]}),
        ("PUT", "peers", {"peers": []}),
    ):
        headers = {"Authorization": shown} if shown else {}
        answer = await worker.request(method, f"/admin/{route}", json.dumps(body), headers)
        assert (answer.status, answer.body["error"]["code"]) == (401, "unauthorized"), answer
    await bench.logged("refused PUT /admin/{action}: 401 unauthorized")
    assert worker.admin_token.encode() not in worker.err
    await bench.works()  # neither revoked, nor rotated, nor forgotten


async def test_flood_of_such_requests_costs_a_bounded_log(bench: Bench) -> None:
    for _ in range(LINES_AT_ONCE * 3):
        answer = await bench.worker.request("POST", "/admin/flush", b"{}", {})
        assert answer.status == 401
    await bench.works()
    assert LINES_AT_ONCE <= bench.worker.err.count(b"401 unauthorized") < LINES_AT_ONCE * 2


async def test_grants_changed_in_flight_break_the_hello(bench: Bench, sink: Any) -> None:
    """In the envelope's payload they are under its signature; with a signature of the thief's they are its own."""
    session, hello = await bench.peer.hello(bench.worker, ["demo.echo"])
    changed = json.loads(hello)
    changed["payload"]["requested_grants"] = ["demo.echo", "demo.who"]
    answer = await bench.worker.request("POST", "/aitp/handshake/hello", json.dumps(changed))
    assert (answer.status, answer.body["error"]["code"]) == (400, "INVALID_SIGNATURE"), answer
    [event] = await sink.wait_for("handshake.failed")
    assert event["payload"]["registry_code"] == "INVALID_SIGNATURE"
    thief = SdkPeer("thief")
    resigned = thief.agent.sign_envelope("mutual_hello", json.dumps(changed["payload"]))
    answer = await bench.worker.request("POST", "/aitp/handshake/hello", resigned)
    assert (answer.status, answer.body["error"]["code"]) == (400, "IDENTITY_FAILED"), answer
    answer = await bench.worker.request("POST", "/aitp/handshake/hello", hello)
    assert answer.status == 200, "the honest one is as good as before"
    assert session.process_hello_ack(json.dumps(answer.body), answer.headers["X-Aitp-Session-Id"])
    await bench.works()
