"""Attacks on the desk at which agents of a run ask for ID tokens: only the agent itself, for itself, while it runs."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from aitp_playground import resources
from aitp_playground.events.codec import decode
from aitp_playground.events.model import RunEvent
from aitp_playground.runs.id_tokens import PATH, Subject
from aitp_playground.runs.requests import NewRun
from aitp_playground.service import Playground
from tests.support.playground import VARIANTS, follow, playground_at

MANIFEST = resources.scenarios_dir() / "_shared/agents/researcher-oidc.yaml"


def write(root: Path) -> None:
    """Two agents of an issuer and one with a key; the last step takes its time, until it is cancelled."""
    manifest = yaml.safe_load(MANIFEST.read_text())
    for subject in ("one", "two"):
        manifest["metadata"]["id"] = subject
        manifest["spec"]["aitp"]["oidc_subject"] = subject
        place = root / f"_shared/agents/{subject}.yaml"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(yaml.safe_dump(manifest))
    unruly = (VARIANTS / "scenarios/_shared/agents/unruly.yaml").read_text()
    (root / "_shared/agents/unruly.yaml").write_text(unruly)
    steps = [
        {"id": "rotate", "type": "rotate_keys", "agent": "two"},
        {
            "id": "wait",
            "agent": "key",
            "capability": "test.act",
            "timeout_ms": 600_000,
            "input_template": {"act": "sleep", "seconds": 600},
        },
    ]
    names = {"one": "one", "two": "two", "key": "unruly"}
    agents = [{"id": name, "ref": f"_shared/agents/{ref}"} for name, ref in names.items()]
    document = {
        "apiVersion": "aitp.dev/v1",
        "kind": "ScenarioVersion",
        "metadata": {"pack": "desk", "scenario": "wait", "version": "1.0.0", "name": "Wait"},
        "spec": {"agents": agents, "trust": {"eager": False}, "workflow": {"steps": steps}},
    }
    place = root / "desk/wait/1.0.0/scenario.yaml"
    place.parent.mkdir(parents=True)
    place.write_text(yaml.safe_dump(document))


class Desk:
    """A playground, two runs of it that wait in their last step, and the secrets against which their agents ask."""

    def __init__(self, running: Playground, http: aiohttp.ClientSession) -> None:
        self.running, self.http = running, http
        self.secrets: list[dict[str, str]] = []
        self.aids: list[dict[str, str]] = []
        self.rotated: list[dict[str, str]] = []
        self.run_ids: list[str] = []
        desk = running.services.id_tokens
        admit = desk.admit

        def overheard(secret: str, subject: Subject) -> None:
            self.secrets[-1][subject.name] = secret
            admit(secret, subject)

        desk.admit = overheard  # type: ignore[method-assign]

    async def begin(self) -> None:
        self.secrets.append({})
        submitted = await self.running.directory.submit(NewRun(scenario_ref="desk/wait@1.0.0"))
        run_id = submitted.row.header.run_id
        self.run_ids.append(run_id)
        events: list[RunEvent] = []
        async with asyncio.timeout(300):
            async for batch in self.running.directory.stream(run_id):
                events += [decode(entry.body) for entry in batch]
                if any(event.type == "step.started" and event.get("step_id") == "wait" for event in events):
                    break
        told = [event for event in events if event.type == "agent.ready"]
        self.aids.append({str(event.get("agent_id")): str(event.get("aid")) for event in told})
        (rotated,) = [event.payload for event in events if event.type == "identity.key.rotated"]
        self.rotated.append(dict(rotated))

    async def ask(self, secret: str, aid: str, audience: str, **more: str) -> tuple[int, Any]:
        body = {"aid": aid, "audience": audience, "nonce": "n", **more}
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        async with self.http.post(self.running.url + PATH, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def end(self) -> None:
        for run_id in self.run_ids:
            await self.running.directory.cancel(run_id)
        for run_id in self.run_ids:
            outcome = await follow(self.running, run_id)
            assert outcome.status == "cancelled"
            assert "id_token" not in str([event.fields for event in outcome.events])


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    root = tmp_path / "scenarios"
    write(root)
    shutil.copytree(VARIANTS / "agents", tmp_path / "agents")
    async with (
        playground_at(tmp_path, scenarios_dir=str(root)) as running,
        aiohttp.ClientSession() as http,
    ):
        made = Desk(running, http)
        for _ in range(2):
            await made.begin()
        yield made
        await made.end()


async def test_an_id_token_is_for_the_agent_that_asks_and_for_nobody_else(desk: Desk) -> None:
    (own, others), (mine, theirs) = desk.secrets, desk.aids
    status, given = await desk.ask(own["one"], mine["one"], mine["key"])
    assert (status, given.keys()) == (200, {"id_token"})
    for secret, aid, audience in (
        (own["one"], mine["key"], mine["one"]),  # another agent of the run
        (own["one"], theirs["one"], theirs["key"]),  # the same agent of another run
        (own["one"], mine["one"], theirs["key"]),  # for somebody in another run
        (others["one"], mine["one"], mine["key"]),  # with a secret of another run
        (own["two"], mine["one"], mine["key"]),  # with the secret of another agent
        (own["one"], mine["one"], "aid:pubkey:nobody"),
    ):
        status, refused = await desk.ask(secret, aid, audience)
        assert (status, refused["error"]["code"]) == (403, "forbidden"), refused
        assert "id_token" not in refused
    for secret in ("", "guess"):
        status, refused = await desk.ask(secret, mine["one"], mine["key"])
        assert (status, refused["error"]["code"]) == (401, "unauthorized"), refused
    status, refused = await desk.ask(own["one"], mine["one"], mine["key"], subject="two")
    assert (status, refused["error"]["code"]) == (422, "invalid_request"), "whose it is, the body does not say"
    assert (await desk.ask(own["one"], mine["one"], mine["key"]))[0] == 200, "the honest one is served as before"


async def test_after_a_rotation_there_is_no_id_token_for_the_old_key(desk: Desk) -> None:
    secret, friend, rotated = desk.secrets[0]["two"], desk.aids[0]["key"], desk.rotated[0]
    assert rotated["old_aid"] == desk.aids[0]["two"]
    assert (await desk.ask(secret, rotated["old_aid"], friend))[0] == 403
    assert (await desk.ask(secret, rotated["new_aid"], friend))[0] == 200


async def test_after_the_run_there_is_none_at_all(desk: Desk) -> None:
    await desk.end()
    for secrets, aids in zip(desk.secrets, desk.aids, strict=True):
        for secret in secrets.values():
            status, refused = await desk.ask(secret, aids["one"], aids["key"])
            assert (status, refused["error"]["code"]) == (401, "unauthorized")
    assert len(desk.running.services.id_tokens) == 0
