"""A run's whole documented life over HTTP alone: one real server with real agents, and the requests of a client."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession

from aitp_playground.runs import directory
from tests.support.playground import VARIANTS, playground_at

SHIPPED = Path(__file__).resolve().parents[3] / "scenarios"
STRICT = {"scenario_ref": "intra-org/research-and-write@1.0.0", "template": "trust-strict"}
GATE = "intra-org/trust-gate@1.0.0"
#: One agent that sleeps for as long as it is told to.
ACT = "lifecycle/act@1.0.0"
#: Two agents; its second step does what the one step of ACT does.
DUO = "lifecycle/duo@1.0.0"
PATIENCE = 300.0
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Api:
    """What a client of the server does; every answer must come within PATIENCE."""

    def __init__(self, http: ClientSession) -> None:
        self.http = http

    async def ask(self, method: str, path: str, **request: Any) -> tuple[int, Any]:
        async with asyncio.timeout(PATIENCE), self.http.request(method, path, **request) as response:
            text = await response.text()
        return response.status, json.loads(text) if response.content_type == "application/json" else text

    async def get(self, path: str) -> Any:
        status, body = await self.ask("GET", path)
        assert status == 200, body
        return body

    async def start(self, **body: Any) -> str:
        status, made = await self.ask("POST", "/runs", json=body)
        assert status == 202, made
        return str(made["run_id"])

    async def stream(self, run_id: str, until: str = "stream.end", **request: Any) -> list[dict[str, Any]]:
        """The frames of a run, ``id`` put in as ``frame``, up to the first event of type ``until``."""
        frames: list[dict[str, Any]] = []
        path = f"/runs/{run_id}/events"
        async with asyncio.timeout(PATIENCE), self.http.get(path, **request) as response:
            assert response.status == 200
            assert response.content_type == "text/event-stream"
            assert response.headers["Cache-Control"] == "no-cache"
            assert response.headers["X-Accel-Buffering"] == "no"
            number: str | None = None
            async for raw in response.content:
                name, _, value = raw.decode().rstrip("\n").partition(": ")
                if name == "id":
                    number = value
                elif name == "data":
                    event = json.loads(value)
                    frames.append(event if number is None else {**event, "frame": int(number)})
                    number = None
                    if event["type"] == until:
                        break
        return frames

    async def finished(self, **body: Any) -> str:
        run_id = await self.start(**body)
        await self.stream(run_id)
        return run_id


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    roots = f"{SHIPPED}:{VARIANTS / 'scenarios'}"
    async with (
        playground_at(tmp_path_factory.mktemp("live"), scenarios_dir=roots) as running,
        ClientSession(running.url) as http,
    ):
        yield Api(http)


async def test_a_run_from_its_request_to_its_deletion(api: Api) -> None:
    async with api.http.post("/runs", json={**STRICT, "inputs": {"topic": "trust"}, "run_label": "mine"}) as response:
        made = await response.json()
        assert (response.status, response.headers["Location"]) == (202, f"/runs/{made['run_id']}")
    run_id = made["run_id"]
    assert made == {
        "run_id": run_id,
        "status": "pending",
        "scenario_ref": STRICT["scenario_ref"],
        "run_label": "mine",
    }

    *frames, end = await api.stream(run_id)
    assert end == {"type": "stream.end"}
    assert [frame.pop("frame") for frame in frames] == list(range(1, len(frames) + 1))
    assert frames[-1]["type"] == "run.complete"

    path = f"/runs/{run_id}"
    run = await api.get(path)
    assert run.pop("events") == frames
    assert list(run.pop("outputs")) == ["probe_no_tct", "trust", "research", "write"]
    assert run.pop("finished_at") >= run.pop("created_at")
    assert run == {
        "run_id": run_id,
        "status": "success",
        "proof": "proven",
        "unproven_because": [],
        "scenario_digest": (await api.get(f"{path}/scenario"))["digest"],
        "fault_injection": {},
        "scenario_ref": STRICT["scenario_ref"],
        "run_label": "mine",
        "template": "trust-strict",
        "inputs": {"topic": "trust", "style": "casual"},
        "error": None,
    }

    told = (await api.get(f"{path}/narrate")).splitlines()
    assert len(told) == len(frames) + 1
    assert told[-1].startswith("run success, proven: 4 steps completed, 0 skipped, 0 failed; 2 agents; ")
    log = await api.get(f"{path}/agents/writer/log")
    [ready] = [frame for frame in frames if frame["type"] == "agent.ready" and frame["agent_id"] == "writer"]
    assert f"AITP_AGENT_READY aid={ready['aid']} port={ready['port']}" in log
    [line] = [line for line in (await api.get("/runs"))["runs"] if line["run_id"] == run_id]
    assert set(line) == {"run_id", "status", "proof", "scenario_ref", "run_label", "created_at", "event_count"}
    assert (line["status"], line["proof"], line["event_count"]) == ("success", "proven", len(frames))
    status = await api.get(f"{path}/status")
    assert status == {name: line[name] for name in ("run_id", "status", "event_count", "created_at")}

    over = {"run_id": run_id, "status": "success", "cancelled": False, "reason": "already terminal"}
    assert await api.ask("POST", f"{path}/cancel") == (202, over)
    assert await api.ask("DELETE", path) == (204, "")
    for method, gone in (("GET", path), ("GET", f"{path}/events"), ("GET", f"{path}/narrate"), ("DELETE", path)):
        code, body = await api.ask(method, gone)
        assert (code, body["error"]["code"]) == (404, "run_not_found")


async def test_events_have_one_shape_and_every_step_one_end(api: Api) -> None:
    run_id = await api.finished(**STRICT)
    events = (await api.get(f"/runs/{run_id}"))["events"]
    begun: dict[str, dict[str, Any]] = {}
    ended: list[str] = []
    for event in events:
        assert event["run_id"] == run_id
        assert UUID.fullmatch(event["id"])
        assert isinstance(event["ts"], float)
        assert None not in [*event.values(), *event.get("payload", {}).values()], "absent is absent, not null"
        if event["type"] == "step.started":
            begun[event["step_id"]] = event
        if "step_id" in event:
            started = begun[event["step_id"]]
            assert event["step_id"] not in ended, "nothing of a step comes after its end"
            named = {name: started[name] for name in ("agent", "capability") if name in started}
            assert named == {name: event.get(name) for name in named}
        if event["type"] in {"step.complete", "step.skipped", "step.failed"}:
            ended.append(event["step_id"])
    assert ended == list(begun) == ["probe_no_tct", "trust", "research", "write"]
    assert len({event["id"] for event in events}) == len(events)


async def test_a_reader_resumes_without_gap_or_double_and_a_poller_by_pages_and_etag(api: Api) -> None:
    run_id = await api.finished(**STRICT)
    whole = await api.stream(run_id)
    assert await api.stream(run_id, params={"after": "3"}) == whole[3:]
    assert await api.stream(run_id, headers={"Last-Event-ID": "5"}) == whole[5:]
    assert await api.stream(run_id, params={"after": "3"}, headers={"Last-Event-ID": "5"}) == whole[5:]

    page = await api.get(f"/runs/{run_id}?after=2&limit=3")
    assert [event["seq"] for event in page["events"]] == [3, 4, 5]
    assert page["next"] == "5"
    assert "next" not in await api.get(f"/runs/{run_id}?after=5")
    bare = await api.get(f"/runs/{run_id}?events=false")
    assert (bare["events"], bare["status"]) == ([], "success")
    async with api.http.get(f"/runs/{run_id}") as first:
        tag = first.headers["ETag"]
    async with api.http.get(f"/runs/{run_id}", headers={"If-None-Match": tag}) as again:
        assert (again.status, await again.read()) == (304, b"")


async def test_lists_page_newest_first_and_narrow_by_status_and_scenario(api: Api) -> None:
    made = [await api.finished(scenario_ref=ACT, inputs={"seconds": 0}) for _ in range(3)]
    of_ours = f"/runs?scenario_ref={ACT}&limit=2"
    first = await api.get(of_ours)
    second = await api.get(f"{of_ours}&before={first['next']}")
    assert [line["run_id"] for line in first["runs"] + second["runs"]][:3] == made[::-1]
    assert (await api.get("/runs?status=failed&scenario_ref=intra-org/none@1"))["runs"] == []


async def test_outputs_are_there_while_the_run_goes_on_and_kept_when_it_does_not_end_well(api: Api) -> None:
    run_id = await api.start(scenario_ref=DUO, inputs={"act": "sleep", "seconds": 60})
    await api.stream(run_id, until="step.complete")
    meanwhile = await api.get(f"/runs/{run_id}")
    assert (meanwhile["status"], list(meanwhile["outputs"]), meanwhile["finished_at"]) == ("running", ["own"], None)
    assert (await api.ask("POST", f"/runs/{run_id}/cancel"))[0] == 202
    assert (await api.get(f"/runs/{run_id}"))["outputs"] == meanwhile["outputs"]


async def test_a_cancelled_run_has_its_agents_gone_and_its_end_told_last(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "CANCEL_WAIT", PATIENCE)
    run_id = await api.start(scenario_ref=ACT, inputs={"act": "sleep", "seconds": 60})
    assert (await api.stream(run_id, until="step.started"))[-1]["step_id"] == "act"
    [agent] = [row for row in (await api.get("/agents"))["agents"] if row["run_id"] == run_id]
    assert set(agent) == {"run_id", "agent_id", "port", "pid", "aid", "manifest_url", "status", "exit_code"}
    assert (agent["agent_id"], agent["status"], agent["exit_code"]) == ("worker", "ready", None)
    code, refused = await api.ask("DELETE", f"/runs/{run_id}")
    assert (code, refused["error"]["code"]) == (409, "run_not_terminal")

    answer = {"run_id": run_id, "status": "cancelled", "cancelled": True}
    assert await api.ask("POST", f"/runs/{run_id}/cancel") == (202, answer)
    with pytest.raises(ProcessLookupError):
        os.kill(agent["pid"], 0)
    *events, end = await api.stream(run_id)
    assert [event["type"] for event in events][-2:] == ["step.failed", "run.cancelled"]
    assert end == {"type": "stream.end"}
    run = await api.get(f"/runs/{run_id}")
    assert (run["status"], run["proof"]) == ("cancelled", None)


async def test_one_idempotency_key_makes_one_run(api: Api) -> None:
    body, key = {"scenario_ref": ACT}, {"Idempotency-Key": "once"}
    _, first = await api.ask("POST", "/runs", json=body, headers=key)
    async with api.http.post("/runs", json=body, headers=key) as again:
        assert (await again.json())["run_id"] == first["run_id"]
        assert (again.status, again.headers["Idempotency-Replayed"]) == (202, "true")
    code, other = await api.ask("POST", "/runs", json={**body, "run_label": "other"}, headers=key)
    assert (code, other["error"]["code"]) == (422, "invalid_request")


async def test_requested_faults_are_real_and_told(api: Api) -> None:
    faults = {"peer_offline": ["writer"]}
    run_id = await api.finished(scenario_ref="intra-org/research-and-write@1.0.0", fault_injection=faults)
    run = await api.get(f"/runs/{run_id}")
    assert (run["status"], run["proof"], run["fault_injection"]) == ("success", "unproven", faults)
    kept, untried = run["unproven_because"]
    assert "the fault peer_offline on writer" in kept
    assert untried.startswith(
        "step ask_back: it needs the trust that the injected fault peer_offline on writer prevented"
    )
    injected = [event for event in run["events"] if event["type"] == "step.fault_injected"]
    assert [(event["initiator"], event["target"], "step_id" in event) for event in injected] == [
        ("researcher", "writer", False)
    ]
    assert [event["target"] for event in run["events"] if event["type"] == "step.fault_complete"] == ["writer"]
    [opened] = [event for event in run["events"] if event["type"] == "trust.establishing"]
    assert not opened["source_url"].endswith(":8101/.well-known/aitp-manifest")
    assert [event["target"] for event in run["events"] if event["type"] == "trust.failed"] == ["writer"]
    assert f", sent to {opened['source_url']}" in await api.get(f"/runs/{run_id}/narrate")


BAD_RUNS: list[tuple[Any, int, str]] = [
    (b"{", 400, "invalid_request"),
    (b"", 400, "invalid_request"),
    (b"[]", 422, "invalid_request"),
    (b" " * 1_048_577, 413, "payload_too_large"),
    ({}, 422, "invalid_request"),
    ({"scenario_ref": GATE, "extra": 1}, 422, "invalid_request"),
    ({"scenario_ref": GATE, "run_label": 1}, 422, "invalid_request"),
    ({"scenario_ref": "intra-org/trust-gate@9.9.9"}, 404, "scenario_not_found"),
    ({"scenario_ref": "../trust-gate@1.0.0"}, 404, "scenario_not_found"),
    ({"scenario_ref": GATE, "template": "none"}, 404, "template_not_found"),
    ({"scenario_ref": GATE, "inputs": {"topic": 5}}, 422, "inputs_invalid"),
    ({"scenario_ref": GATE, "fault_injection": {"explode": []}}, 422, "invalid_request"),
    ({"scenario_ref": GATE, "fault_injection": {"peer_offline": ["mallory"]}}, 422, "invalid_request"),
]


async def test_a_bad_request_is_refused_at_the_door_and_never_becomes_a_run(api: Api) -> None:
    async def newest() -> Any:
        return (await api.get("/runs?limit=1"))["runs"]

    before = await newest()
    for body, status, code in BAD_RUNS:
        sent = {"data": io.BytesIO(body)} if isinstance(body, bytes) else {"json": body}
        answered, fault = await api.ask("POST", "/runs", **sent)
        assert (answered, fault["error"]["code"]) == (status, code), body[:20] if isinstance(body, bytes) else body
        assert set(fault["error"]) <= {"code", "message", "details"}
    assert await newest() == before


async def test_inputs_that_do_not_fit_are_told_with_their_pointers(api: Api) -> None:
    body = {"scenario_ref": "intra-org/research-and-write@1.0.0", "inputs": {"topic": 1, "style": "loud"}}
    _, answer = await api.ask("POST", "/runs", json=body)
    assert [fault["pointer"] for fault in answer["error"]["details"]] == ["/style", "/topic"]
    assert answer["error"]["message"].startswith('inputs do not fit the scenario: /style: "loud" is not one of')


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("GET", "/nowhere", {}, 404, "not_found"),
        ("PUT", "/runs", {}, 405, "method_not_allowed"),
        ("GET", "/runs?limit=0", {}, 422, "invalid_request"),
        ("GET", "/runs?limit=1001", {}, 422, "invalid_request"),
        ("GET", "/runs?status=lost", {}, 422, "invalid_request"),
        ("GET", "/runs?before=nonsense", {}, 422, "invalid_request"),
        ("GET", "/runs/none", {}, 404, "run_not_found"),
        ("GET", "/runs/none/status", {}, 404, "run_not_found"),
        ("GET", "/runs/none/events", {}, 404, "run_not_found"),
        ("GET", "/runs/none/narrate", {}, 404, "run_not_found"),
        ("GET", "/runs/none/agents/writer/log", {}, 404, "run_not_found"),
        ("POST", "/runs/none/cancel", {}, 404, "run_not_found"),
        ("DELETE", "/runs/none", {}, 404, "run_not_found"),
        ("GET", "/scenarios/intra-org/none@1.0.0", {}, 404, "scenario_not_found"),
        ("GET", f"/scenarios/{GATE}/templates/none", {}, 404, "template_not_found"),
        ("POST", "/internal/telemetry", {}, 401, "unauthorized"),
        ("POST", "/internal/oidc-token", {}, 401, "unauthorized"),
        ("GET", "/runs", {"Host": "evil.example"}, 403, "forbidden"),
        ("GET", "/runs", {"Origin": "http://evil.example"}, 403, "forbidden"),
    ],
)
async def test_each_refusal_has_its_status_and_code(
    api: Api, method: str, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    answered, body = await api.ask(method, path, headers=headers)
    assert (answered, body["error"]["code"]) == (status, code)


async def test_what_does_not_exist_of_a_run_that_does_is_named(api: Api) -> None:
    run_id = await api.finished(scenario_ref=ACT)
    code, body = await api.ask("GET", f"/runs/{run_id}/agents/none/log")
    assert (code, body["error"]["code"]) == (404, "not_found")
    for request in ({"params": {"after": "-1"}}, {"headers": {"Last-Event-ID": "x"}}):
        code, body = await api.ask("GET", f"/runs/{run_id}/events", **request)
        assert (code, body["error"]["code"]) == (422, "invalid_request")


async def test_the_status_says_what_goes_on(api: Api) -> None:
    idle = await api.get("/status")
    assert idle["store"]["writable"] is True
    assert (idle["keys"], idle["control_plane"]) == (False, {"cp_enabled": False})
    assert "reporting" not in idle
    assert idle["runs"]["draining"] is None
    run_id = await api.start(scenario_ref=ACT, inputs={"act": "sleep", "seconds": 600})
    await api.stream(run_id, until="step.started")
    async with asyncio.timeout(PATIENCE), api.http.get(f"/runs/{run_id}/events"):
        busy = await api.get("/status")
    assert busy["runs"]["running"] == idle["runs"]["running"] + 1
    assert busy["runs"]["agents"] == idle["runs"]["agents"] + 1
    assert busy["streams"]["open"] >= 1
    assert await api.ask("POST", f"/runs/{run_id}/cancel", json={})
