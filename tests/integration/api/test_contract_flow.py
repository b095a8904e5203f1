"""Whatever a real playground answers, from a run's start to its deletion, is what the contract says."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import io
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.server import Running, control_plane
from aitp_playground.runs.id_tokens import RunIssuer, Subject
from aitp_playground.service import Playground
from aitp_playground.store.port import Leftover
from tests.support.contract import Contract, Held, frames
from tests.support.playground import VARIANTS, playground_at

SHIPPED = Path(__file__).resolve().parents[3] / "scenarios"
#: One agent that sleeps for as long as it is told to, and subscribes to nothing.
ACT = "lifecycle/act@1.0.0"
STRICT = {"scenario_ref": "intra-org/research-and-write@1.0.0", "template": "trust-strict", "run_label": "a label"}
SHIPPED_REFS = [
    f"{path.parents[2].name}/{path.parents[1].name}@{path.parent.name}"
    for path in sorted(SHIPPED.glob("*/*/*/scenario.yaml"))
]
PATIENCE = 300.0
KEY = "a-key-for-tests-only"

pytestmark = pytest.mark.asyncio(loop_scope="module")


class World:
    """A playground that knows a Control Plane and wants a key, and the tokens that its agents were launched with."""

    def __init__(self, running: Playground, cp: Running, api: Held, stranger: Held) -> None:
        self.running, self.cp, self.api, self.stranger = running, cp, api, stranger
        self.tokens: list[str] = []
        tokens = running.services.tokens
        admit = tokens.admit

        def overheard(token: str, *args: Any) -> None:
            self.tokens.append(token)
            admit(token, *args)

        tokens.admit = overheard  # type: ignore[method-assign]

    async def finished(self, **body: Any) -> tuple[str, list[dict[str, Any]]]:
        """A run that is over, and its events as they were streamed."""
        async with asyncio.timeout(PATIENCE):
            run_id = (await self.api.ask("POST", "/runs", 202, json=body))["run_id"]
            told = await self.api.ask("GET", f"/runs/{run_id}/events")
        return run_id, [json.loads(frame["data"]) for frame in frames(told.encode())]

    async def under_way(self) -> str:
        """A run whose agent sleeps."""
        body = {"scenario_ref": ACT, "inputs": {"act": "sleep", "seconds": 60}}
        run_id = str((await self.api.ask("POST", "/runs", 202, json=body))["run_id"])
        async with asyncio.timeout(PATIENCE):
            async for batch in self.running.directory.stream(run_id):
                if any(event.type == "step.started" for event in batch):
                    return run_id
        raise AssertionError("the run ended")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        cp = await stack.enter_async_context(control_plane(Options()))
        running = await stack.enter_async_context(
            playground_at(
                tmp_path_factory.mktemp("contract"),
                scenarios_dir=f"{SHIPPED}:{VARIANTS / 'scenarios'}",
                playground_api_keys=KEY,
                cp_base_url=cp.url,
                cp_api_key=cp.key,
                cp_timeout_ms=15_000,
            )
        )
        contract = Contract()
        known = aiohttp.ClientSession(running.url, headers={"Authorization": f"Bearer {KEY}"})
        stranger = aiohttp.ClientSession(running.url)
        await stack.enter_async_context(known)
        await stack.enter_async_context(stranger)
        yield World(running, cp, Held(known, contract), Held(stranger, contract))


async def what_can_be_run(world: World) -> None:
    ask = world.api.ask
    await ask("GET", "/packs")
    for scenario in (await ask("GET", "/scenarios"))["scenarios"]:
        path = f"/scenarios/{scenario['ref']}"
        await ask("GET", path)
        for template in (await ask("GET", f"{path}/templates"))["templates"]:
            await ask("GET", f"{path}/templates/{template['name']}")
    await ask("GET", "/scenarios/no/such@1", 404)
    await ask("GET", f"/scenarios/{ACT}/templates/none", 404)


async def all_that_can_be_asked_of_a_run(world: World, body: dict[str, Any]) -> None:
    run_id, events = await world.finished(**body)
    ask, path = world.api.ask, f"/runs/{run_id}"
    assert events[-1] == {"type": "stream.end"}
    run = await ask("GET", path)
    assert [event["seq"] for event in run["events"]] == [event["seq"] for event in events[:-1]]
    async with world.api.http.get(path) as response:
        tag = response.headers["ETag"]
    await ask("GET", path, 304, headers={"If-None-Match": tag})
    await ask("GET", f"{path}?after=1&limit=2")
    await ask("GET", f"{path}?events=false")
    of_cp = ("cp-audit", "cp-sessions", "cp-deliveries")
    for part in ("status", "scenario", "narrate", "trust", "trust?after=9", *of_cp, "events?after=2"):
        await ask("GET", f"{path}/{part}")
    for agent in {event["agent_id"] for event in events if event["type"] == "agent.ready"}:
        await ask("GET", f"{path}/agents/{agent}/log")
    await ask("GET", f"{path}/agents/none/log", 404)
    await ask("POST", f"{path}/cancel", 202)
    await ask("POST", f"{path}/cancel", 202, json={})
    await ask("GET", "/runs?limit=1&status=success&scenario_ref=" + body["scenario_ref"])


async def how_runs_differ(world: World) -> None:
    ask, run = world.api.ask, {"scenario_ref": "intra-org/trust-gate@1.0.0"}
    one, other = [(await world.finished(**run))[0] for _ in range(2)]
    assert (await ask("GET", f"/runs/{one}/diff/{other}"))["equal"] is True
    failed, _ = await world.finished(**run, fault_injection={"peer_offline": ["writer"]})
    found = await ask("GET", f"/runs/{one}/diff/{failed}?volatile=true")
    assert (found["equal"], found["end"]["type"]) == (False, {"a": "run.complete", "b": "run.failed"})
    assert {step["change"] for step in found["steps"]} >= {"changed", "missing"}
    assert (await ask("GET", f"/runs/{one}/diff/{uuid.uuid4()}", 404))["error"]["details"]["unknown"]
    await ask("GET", f"/runs/{one}/diff/{other}?volatile=x", 422)
    going_on = await world.under_way()
    unfinished = await ask("GET", f"/runs/{one}/diff/{going_on}", 409)
    assert unfinished["error"]["details"]["run_id"] == going_on
    await ask("POST", f"/runs/{going_on}/cancel", 202)


async def a_run_under_way_its_agents_what_they_report_and_its_end(world: World) -> None:
    ask, run_id = world.api.ask, await world.under_way()
    [agent] = [row for row in (await ask("GET", "/agents"))["agents"] if row["run_id"] == run_id]
    await ask("DELETE", f"/runs/{run_id}", 409)

    token = {"Authorization": f"Bearer {world.tokens[-1]}"}
    event = {"type": "handshake.started", "emitter_seq": 9000, "target": "x", "ts": 1.5, "more": [1]}
    batch = {"emitter_seq": 9000, "events": [event]}
    taken = await world.stranger.ask("POST", "/internal/telemetry", headers=token, json=batch)
    assert taken == {"accepted": 1, "emitter_seq": 9000}
    whole = {"emitter_seq": 9001.0, "events": [{**event, "emitter_seq": 9001.0, "port": 8.0}]}
    assert (await world.stranger.ask("POST", "/internal/telemetry", headers=token, json=whole))["accepted"] == 1
    for wrong in ({}, {"emitter_seq": 1.5, "events": []}, {"emitter_seq": 1, "events": [{"type": "run.complete"}]}):
        await world.stranger.ask("POST", "/internal/telemetry", 422, headers=token, json=wrong)
    for unfit in ({"port": True}, {"port": 1.5}, {"grants": "x"}, {"emitter_seq": True}):
        late = {"emitter_seq": 9002, "events": [{**event, "emitter_seq": 9002, **unfit}]}
        await world.stranger.ask("POST", "/internal/telemetry", 422, headers=token, json=late)
    span = {"name": "x", "kind": "server", "span_id": "1" * 16, "parent_id": "2" * 16, "start": 1, "end": 2.0}
    traced = {"emitter_seq": 9001, "events": [], "spans": [span, {**span, "attributes": {"a": 1}, "error": "no"}]}
    await world.stranger.ask("POST", "/internal/telemetry", headers=token, json=traced)
    for unfit in ({"span_id": "x"}, {"start": 3}, {"kind": "odd"}, {"error": 7}):
        wrong = {"emitter_seq": 9001, "events": [], "spans": [{**span, **unfit}]}
        await world.stranger.ask("POST", "/internal/telemetry", 422, headers=token, json=wrong)
    await world.stranger.ask("POST", "/internal/telemetry", 401, json=batch)

    desk = world.running.services.id_tokens
    desk.admit("its-secret", Subject(RunIssuer("https://issuer.test/"), "worker", lambda: agent["aid"], "x".__eq__))
    secret = {"Authorization": "Bearer its-secret"}
    wanted = {"aid": agent["aid"], "audience": "x", "nonce": "n"}
    await world.stranger.ask("POST", "/internal/oidc-token", headers=secret, json=wanted)
    await world.stranger.ask("POST", "/internal/oidc-token", 403, headers=secret, json={**wanted, "audience": "y"})
    await world.stranger.ask("POST", "/internal/oidc-token", 422, headers=secret, json={})
    await world.stranger.ask("POST", "/internal/oidc-token", 401, json=wanted)
    desk.forget("its-secret")

    assert (await ask("POST", f"/runs/{run_id}/cancel", 202))["cancelled"] is True
    await ask("DELETE", f"/runs/{run_id}", 204)
    await ask("GET", f"/runs/{run_id}", 404)
    await ask("GET", f"/runs/{run_id}/events", 404)


async def what_the_control_plane_delivers(world: World) -> None:
    run_id, _ = await world.finished(scenario_ref=ACT)
    secret = "the-secret-of-a-subscription"
    hook = Leftover(
        id=str(uuid.uuid4()),
        cp=world.cp.url,
        run_id=run_id,
        kind="webhook",
        name="w-1",
        url="http://127.0.0.1:1/",
        events=("*",),
        secret=secret,
    )
    await world.running.services.store.leave(hook)
    told = {"deliveryId": str(uuid.uuid4()), "eventType": "handshake.complete", "payload": {"a": 1}}
    body = json.dumps(told).encode()

    async def deliver(sent: bytes, expected: int, signed: bytes | None = None, **headers: str) -> Any:
        mac = hmac.new(secret.encode(), sent if signed is None else signed, hashlib.sha256).hexdigest()
        given = {"X-Aitp-Signature": f"sha256={mac}", "Content-Type": "application/json", **headers}
        return await world.stranger.ask(
            "POST", f"/webhooks/cp/{run_id}", expected, data=io.BytesIO(sent), headers=given
        )

    assert await deliver(body, 200) == {"status": "stored"}
    assert await deliver(body, 200) == {"status": "duplicate"}
    packed = gzip.compress(b'{"eventType": "session.closed"}')
    await deliver(packed, 200, **{"Content-Encoding": "gzip", "X-Aitp-Delivery": "1", "X-Aitp-Event": "x"})
    await deliver(b"no json \xff", 200)
    await deliver(b'{"payload": {"runId": "another"}}', 200)
    await deliver(body, 401, signed=b"")
    await deliver(body, 415, **{"Content-Encoding": "br"})
    await deliver(b"no gzip", 400, **{"Content-Encoding": "gzip"})
    await deliver(b" " * (2**20 + 1), 413)
    shown = await world.api.ask("GET", f"/runs/{run_id}/cp-deliveries?limit=2")
    assert (shown["subscribed"], shown["count"], len(shown["deliveries"])) == (True, 2, 2)
    await world.api.ask("GET", f"/runs/{run_id}/cp-deliveries?after={shown['next']}&event_type=x")


async def everything_as_one_stream_with_its_gaps_and_resets(world: World) -> None:
    gone, _ = await world.finished(scenario_ref=ACT)
    kept, _ = await world.finished(scenario_ref=ACT, run_label="mine")
    await world.api.ask("DELETE", f"/runs/{gone}", 204)
    told = await world.api.ask("GET", "/events?follow=false&after=start")
    seen = [json.loads(frame["data"]) for frame in frames(told.encode()) if "data" in frame]
    assert {event["type"] for event in seen} >= {"stream.gap", "run.complete", "stream.end"}
    other = await world.api.ask("GET", f"/events?follow=false&after={'0' * 16}.1.1&type=run.*&label=mine")
    types = [json.loads(frame["data"])["type"] for frame in frames(other.encode()) if "data" in frame]
    assert [kind for kind in types if kind != "stream.gap"] == [
        "stream.reset",
        "run.started",
        "run.complete",
        "stream.end",
    ]
    await world.api.ask("GET", f"/events?follow=false&since=1h&run_id={kept}&level=warning")
    for wrong in ("after=x", "since=x", "since=2026-01-31T12:00:00", "level=loud", "follow=x", "type=" + "a," * 51):
        await world.api.ask("GET", f"/events?{wrong}", 422)


async def what_the_control_plane_has(world: World) -> None:
    await world.finished(**STRICT)
    for path in ("tcts", "delegations", "agents", "trust-anchors", "pinned-keys", "dashboard", "dashboard?window=7d"):
        await world.api.ask("GET", f"/cp/{path}")
    await world.api.ask("GET", "/cp/sessions/s-1/replay?since=1&until=2026-01-31T12:00:00Z")
    for wrong in ("tcts?issuer=", "tcts?active=2", "delegations?root_jti=x", "dashboard?window=2h", "agents?limit=1"):
        await world.api.ask("GET", f"/cp/{wrong}", 422)
    await world.api.ask("GET", "/cp/sessions/s-1/replay?since=x", 422)


async def the_service_itself(world: World) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json", "/docs", "/docs/docs.css", "/docs/docs.js"):
        await world.stranger.ask("GET", path)
    for path in ("/capabilities", "/metrics", "/status"):
        await world.api.ask("GET", path)
        await world.stranger.ask("GET", path, 401)


BAD_RUNS: list[tuple[Any, int]] = [
    (b"{", 400),
    (b"", 400),
    (b'{"scenario_ref": "a", "scenario_ref": "b"}', 400),
    (b"[]", 422),
    (b" " * 1_048_577, 413),
    ({}, 422),
    ({"scenario_ref": ACT, "extra": 1}, 422),
    ({"scenario_ref": "intra-org/none@9.9.9"}, 404),
    ({"scenario_ref": ACT, "template": "none"}, 404),
    ({"scenario_ref": ACT, "inputs": {"seconds": "x"}}, 422),
    ({"scenario_ref": ACT, "fault_injection": {"peer_offline": ["mallory"]}}, 422),
]


async def what_is_refused(world: World) -> None:
    ask = world.api.ask
    for body, status in BAD_RUNS:
        sent = {"data": io.BytesIO(body)} if isinstance(body, bytes) else {"json": body}
        await ask("POST", "/runs", status, **sent)
    await ask("POST", "/runs", 415, data=io.BytesIO(b"{}"), headers={"Content-Encoding": "br"})
    await ask("POST", "/runs", 422, json={"scenario_ref": ACT}, headers={"Idempotency-Key": ""})
    key = {"Idempotency-Key": str(uuid.uuid4())}
    for _ in range(2):
        await ask("POST", "/runs", 202, json={"scenario_ref": ACT}, headers=key)
    other = await ask("POST", "/runs", 422, json={"scenario_ref": ACT, "run_label": "x"}, headers=key)
    assert set(other["error"]["details"]) == {"run_id"}
    for wrong in ("limit=0", "limit=1001", "status=lost", "before=x", "before=", "limit=1&limit=2", "lmit=1"):
        await ask("GET", f"/runs?{wrong}", 422)
    await ask("GET", "/runs", 403, headers={"Host": "evil.example"})
    await ask("GET", "/runs", 403, headers={"Origin": "http://evil.example"})
    await world.stranger.ask("GET", "/runs", 401)


async def test_every_operation_answers_as_the_contract_says(world: World) -> None:
    for part in (
        what_can_be_run,
        how_runs_differ,
        a_run_under_way_its_agents_what_they_report_and_its_end,
        what_the_control_plane_delivers,
        everything_as_one_stream_with_its_gaps_and_resets,
        what_the_control_plane_has,
        the_service_itself,
        what_is_refused,
    ):
        await part(world)
    await all_that_can_be_asked_of_a_run(world, STRICT)
    seen = world.api.contract.seen
    for _, _, operation in world.api.contract.operations():
        well = {int(status) for status in operation["responses"] if int(status) < 400} - {304}
        assert well <= seen[operation["operationId"]], "every answer that is no refusal was had"


@pytest.mark.parametrize("ref", SHIPPED_REFS)
async def test_a_run_of_any_scenario_is_told_as_the_contract_says(world: World, ref: str) -> None:
    await all_that_can_be_asked_of_a_run(world, {"scenario_ref": ref})


@pytest.mark.parametrize(
    "body",
    [
        {"scenario_ref": "intra-org/research-and-write@1.0.0", "fault_injection": {"peer_offline": ["writer"]}},
        {"scenario_ref": ACT, "inputs": {"act": "nonsense"}},
    ],
    ids=["with a fault", "that fails"],
)
async def test_a_run_that_does_not_go_well_is_too(world: World, body: dict[str, Any]) -> None:
    await all_that_can_be_asked_of_a_run(world, body)
