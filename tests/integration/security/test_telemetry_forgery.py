"""An agent's telemetry token lets it speak for itself, in its run, about what agents report; and nothing else."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from aitp_playground.hosting.bootstrap import mint_token
from aitp_playground.service import Playground
from tests.integration.runs.watching import ACT, submit, unruly_playground, until
from tests.support.playground import Outcome, follow

pytestmark = pytest.mark.asyncio(loop_scope="module")
SAID = "capability.invoked"


@dataclass
class Forger:
    """Holds the telemetry token of an agent whose run goes on, and its admin token."""

    running: Playground
    http: aiohttp.ClientSession
    run_id: str
    telemetry_token: str
    admin_token: str
    seq: int = 0

    async def post(self, body: Any, *, token: str | None = None, **headers: str) -> tuple[int, str]:
        headers["Authorization"] = f"Bearer {token or self.telemetry_token}"
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.http.post(
            self.running.url + "/internal/telemetry", data=io.BytesIO(raw), headers=headers
        ) as answer:
            return answer.status, await answer.text()

    async def say(self, **event: Any) -> int:
        self.seq += 1
        batch = {"emitter_seq": self.seq, "events": [{"emitter_seq": self.seq, **event}]}
        return (await self.post(batch))[0]

    async def end(self) -> Outcome:
        await self.running.directory.cancel(self.run_id)
        return await follow(self.running, self.run_id)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Playground]:
    async with unruly_playground(tmp_path_factory.mktemp("forgery"), shutdown_grace_secs=0) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def forger(running: Playground, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Forger]:
    telemetry_token, admin_token = mint_token(), mint_token()
    monkeypatch.setattr(
        "aitp_playground.runs.conducting.agent_launch.mint_token", iter((telemetry_token, admin_token)).__next__
    )
    async with aiohttp.ClientSession() as http:
        run_id = await submit(running, inputs={"act": "sleep", "seconds": 600})
        await until(running, run_id, "step.started")
        monkeypatch.undo()
        yield Forger(running, http, run_id, telemetry_token, admin_token)
        await running.directory.cancel(run_id)


async def test_identity_place_and_step_of_an_event_are_not_the_speakers_to_choose(forger: Forger) -> None:
    other = await submit(forger.running, ACT)
    elsewhere = await follow(forger.running, other)
    places = {"run_id": other, "agent_id": "service", "seq": 1, "step_id": "act", "step_mark": "act"}
    claims = {**places, "marked": "forged"}
    assert await forger.say(type=SAID, **claims, payload={**claims, "unproven": True}) == 200
    outcome = await forger.end()
    (event,) = outcome.of(SAID, marked="forged")
    assert (event.run_id, event.get("agent_id"), event.get("step_id")) == (forger.run_id, "worker", None)
    assert len((await forger.running.directory.view(other)).events) == len(elsewhere.events)


async def test_only_what_agents_report_is_taken(forger: Forger) -> None:
    kinds: list[Any] = ["run.complete", "step.complete", "agent.ready", "trust.established", "cp.degraded"]
    for kind in (*kinds, "", ["run.complete"], {}, None):
        assert await forger.say(type=kind) == 422, kind


async def test_an_events_time_is_one_that_reports_can_show(forger: Forger) -> None:
    for time in (1e308, 10**40, -5, True, "yesterday"):
        assert await forger.say(type=SAID, ts=time) == 200
    outcome = await forger.end()
    started = outcome.events[0].ts
    assert all(abs(event.ts - started) < 3600 for event in outcome.of(SAID))


async def test_what_is_no_batch_is_refused_and_the_token_of_another_door_opens_nothing(forger: Forger) -> None:
    empty = {"emitter_seq": 0, "events": []}
    nested = b'{"emitter_seq":1,"events":[{"emitter_seq":1,"type":"%s","payload":%s%s}]}'
    deep = nested % (SAID.encode(), b'{"a":' * 5000 + b"1", b"}" * 5000)
    for body in (b"\0", b"\xff{}", b"[" * 100_000, deep):
        assert (await forger.post(body))[0] == 400, body[:50]
    assert (await forger.post({"emitter_seq": 1, "events": [{"emitter_seq": 1}] * 2000}))[0] == 422
    assert (await forger.post(b" " * (2 << 20)))[0] == 413
    assert (await forger.post(empty, token=forger.admin_token))[0] == 401
    assert (await forger.post(empty, Host="evil.example"))[0] == 403
    assert (await forger.post(empty))[0] == 200
    await forger.end()
    assert (await forger.post(empty))[0] == 401


async def test_what_drives_terminals_is_shown_as_escapes(forger: Forger) -> None:
    tricks = "\x1b[2J\x9b31m\u202e\u2028\nrun success\x00\ud800"
    assert await forger.say(type=SAID, capability=tricks, error=tricks, payload={tricks: tricks}) == 200
    await forger.end()
    async with forger.http.get(f"{forger.running.url}/runs/{forger.run_id}/narrate") as answer:
        told = await answer.text()
    assert "\\x1b[2J" in told
    assert all(line.isprintable() for line in told.splitlines())
