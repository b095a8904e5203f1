"""What scenarios claim of a Control Plane: proven against the development one, and failing without its part in it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import aitp
import pytest
import pytest_asyncio

from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.server import Running, control_plane
from aitp_playground.runs.requests import NewRun
from aitp_playground.service import Playground
from tests.integration.scenarios.test_proofs import CONTROLS as ON_THEIR_OWN
from tests.integration.scenarios.test_proofs import PROOFS, WITH_CP
from tests.support.controls import (
    SHIPPED,
    Control,
    Document,
    every_step_ends_once,
    remarked,
    step,
    with_agent,
    without,
    write_controls,
)
from tests.support.playground import Outcome, follow, playground_at, run

FEDERATED = "cross-org/federated-analysis@1.0.0"


def deaf(document: Document) -> None:
    """The issuer never looks at the Control Plane's list; that it looked is not asked for."""
    with_agent("researcher", "deaf-researcher")(document)
    revoke = step(document, "revoke")
    revoke["expect"] = [check for check in revoke["expect"] if check.get("event") != "revocation.list_fetched"]


def of_another(step_id: str, agent_id: str) -> Any:
    def edit(document: Document) -> None:
        step(document, step_id)["agent"] = agent_id

    return edit


def unsubscribed(document: Document) -> None:
    """Nothing is subscribed to, and the delivery is waited for all the same, though not for long."""
    remarked("subscribe")(document)
    without("hear", "requires")(document)
    step(document, "hear")["expect"][0]["within_ms"] = 300


def with_p256(document: Document) -> None:
    next(agent for agent in document["spec"]["agents"] if agent["id"] == "writer")["signing_suite"] = "p256"


CONTROLS = [
    Control("it is not published", "intra-org/revocation-via-cp@1.0.0", "revoke", without("revoke", "via_cp")),
    Control("the issuer does not hear of it", "intra-org/revocation-via-cp@1.1.0", "blocked_call", deaf),
    Control(
        "the tree of an agent that delegated nothing",
        "intra-org/cp-delegation-tree@1.0.0",
        "delegation_tree",
        of_another("delegation_tree", "writer"),
    ),
    Control(
        "the manifest is altered between the two calls",
        "intra-org/external-enrollment@1.0.0",
        "self_enroll",
        with_agent("researcher", "altered-researcher"),
    ),
    Control(
        "another agent's key is pinned",
        "intra-org/cp-trust-anchor-provisioning@1.0.0",
        "provision",
        of_another("provision", "researcher"),
    ),
]
UNSUBSCRIBED = Control("nobody subscribed", "intra-org/webhook-subscription@1.0.0", "hear", unsubscribed)
CONTROLS.append(UNSUBSCRIBED)
P256 = Control("a key that cannot be pinned", "intra-org/cp-trust-anchor-provisioning@1.0.0", "", with_p256)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def controls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    return write_controls(tmp_path_factory.mktemp("cp-controls"), [*CONTROLS, P256])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cp() -> AsyncIterator[Running]:
    async with control_plane(Options(time_scale=0.01, api_keys=("proofs-key",))) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    tmp_path_factory: pytest.TempPathFactory, controls: tuple[Path, dict[str, str]], cp: Running
) -> AsyncIterator[Playground]:
    async with playground_at(
        tmp_path_factory.mktemp("cp-state"),
        scenarios_dir=f"{controls[0]}:{SHIPPED}",
        cp_base_url=cp.url,
        cp_api_key=cp.key,
        cp_aid=cp.aid,
        cp_webhook_linger_secs=300,
    ) as playground:
        yield playground


async def ask(cp: Running, path: str) -> Any:
    headers = {"Authorization": f"Bearer {cp.key}"}
    async with aiohttp.ClientSession(headers=headers) as http, http.get(cp.url + path) as answer:
        return await answer.json(content_type=None)


async def delivered(running: Playground, run_id: str) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as http, http.get(f"{running.url}/runs/{run_id}/cp-deliveries") as answer:
        found: list[dict[str, Any]] = (await answer.json())["deliveries"]
        return found


async def reported(cp: Running, outcome: Outcome) -> list[dict[str, Any]]:
    """The Control Plane's events of a run, once all of them are there."""
    async with asyncio.timeout(300):
        while True:
            page = (await ask(cp, f"/api/events/history?run_id={outcome.run_id}&limit=1000"))["events"]
            if len(page) >= len(outcome.events):
                return list(page)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("ref", sorted(WITH_CP - {FEDERATED}))
async def test_with_a_control_plane_the_scenario_proves_its_claim(running: Playground, ref: str) -> None:
    outcome = await run(running, ref)
    assert (outcome.status, outcome.view.proof) == ("success", "proven"), outcome.view.error
    assert not outcome.of("cp.degraded")
    assert every_step_ends_once(outcome)


@pytest.mark.parametrize(("ref", "template"), PROOFS)
async def test_what_needs_no_control_plane_is_proven_beside_one_too(
    running: Playground, ref: str, template: str | None
) -> None:
    outcome = await run(running, ref, template=template)
    assert (outcome.status, outcome.view.proof) == ("success", "proven"), outcome.view.error
    assert not outcome.of("cp.degraded")


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name.replace(" ", "-"))
async def test_without_its_mechanism_the_demonstration_fails_at_its_claim(
    running: Playground, controls: tuple[Path, dict[str, str]], control: Control
) -> None:
    outcome = await run(running, controls[1][control.name])
    assert outcome.status == "failed"
    assert outcome.failed_step == control.at, outcome.view.error
    assert every_step_ends_once(outcome)


async def test_the_deaf_issuer_really_answers_the_revoked_token(
    running: Playground, controls: tuple[Path, dict[str, str]]
) -> None:
    outcome = await run(running, controls[1]["the issuer does not hear of it"])
    assert outcome.outputs["revoke"]["audience_sees_jti"] is True
    assert outcome.outputs["blocked_call"]["status_code"] == 200


async def test_every_shipped_scenario_and_template_has_its_proof_and_a_control(running: Playground) -> None:
    scenarios, errors = await running.catalog.scenarios()
    shipped = {loaded.ref for loaded in scenarios if not loaded.ref.startswith("control/")}
    assert not [error for error in errors if not error.file.startswith("control/")]
    assert shipped == {ref for ref, _ in PROOFS} | WITH_CP
    templates = {
        (loaded.ref, template["name"])
        for loaded in scenarios
        if loaded.ref in shipped
        for template in loaded.describe_templates()
    }
    assert (len(shipped), len(templates)) == (22, 3)
    assert templates == {(ref, template) for ref, template in PROOFS if template is not None}
    controlled = {(control.ref, control.template) for control in [*CONTROLS, *ON_THEIR_OWN]}
    assert controlled >= {(ref, None) for ref in shipped} | templates


async def test_a_run_is_reported_whole_and_once(running: Playground, cp: Running) -> None:
    outcome = await run(running, "intra-org/revocation-via-cp@1.0.0")
    events = await reported(cp, outcome)
    own = sorted((event.id, event.seq) for event in outcome.events)
    assert sorted((event["payload"]["id"], event["payload"]["seq"]) for event in events) == own
    (session,) = (await ask(cp, f"/api/sessions?run_id={outcome.run_id}"))["sessions"]
    assert (session["status"], session["runId"]) == ("complete", outcome.run_id)
    assert session["aidA"].startswith("aid:pubkey:")


async def test_the_revoked_token_shows_as_revoked(running: Playground, cp: Running) -> None:
    outcome = await run(running, "intra-org/revocation-via-cp@1.1.0")
    jti = outcome.outputs["revoke"]["revoked_jti"]
    (handshake,) = outcome.of("handshake.complete")
    rows = (await ask(cp, f"/api/tcts?sessionId={handshake.get('session_id')}"))["tcts"]
    assert [row["revoked"] for row in rows if row["jti"] == jti] == [True]


async def test_the_tree_hangs_the_delegation_under_the_token_it_came_from(running: Playground) -> None:
    outcome = await run(running, "intra-org/cp-delegation-tree@1.0.0")
    (issued,) = outcome.of("delegation.issued")
    (established,) = outcome.of("trust.established")
    (row,) = [row for row in outcome.outputs["delegation_tree"]["delegations"] if row["jti"] == issued.get("jti")]
    assert row["parentJti"] == established.get("jti")
    assert row["delegatee"] == outcome.outputs["delegate"]["delegatee_aid"]


async def test_the_registry_then_lists_the_agent_under_a_manifest_that_verifies(
    running: Playground, cp: Running
) -> None:
    outcome = await run(running, "intra-org/external-enrollment@1.0.0")
    aid = outcome.outputs["self_enroll"]["aid"]
    assert aid == outcome.of("agent.ready")[0].get("aid")
    manifest = await ask(cp, f"/api/registry/agents/{aid}/manifest")
    aitp.verify_manifest_json(json.dumps(manifest))
    assert manifest["manifest"]["aid"] == aid


async def test_a_verified_delivery_about_the_run_arrives(
    running: Playground, controls: tuple[Path, dict[str, str]]
) -> None:
    outcome = await run(running, "intra-org/webhook-subscription@1.0.0")
    async with asyncio.timeout(300):
        while not any(about(event, outcome) for event in await delivered(running, outcome.run_id)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # it comes from another process's courier
    unheard = await run(running, controls[1][UNSUBSCRIBED.name])
    assert await delivered(running, unheard.run_id) == []


def about(event: dict[str, Any], outcome: Outcome) -> bool:
    told = json.dumps(event)
    return event["event_type"] == "handshake.complete" and not event.get("foreign") and outcome.run_id in told


async def test_pinning_twice_is_as_good_as_once(running: Playground) -> None:
    for _ in range(2):
        outcome = await run(running, "intra-org/cp-trust-anchor-provisioning@1.0.0")
        assert outcome.outputs["provision"]["provisioned"] is True
    pinned = outcome.outputs["provision"]["pinned_key"]
    writer = next(event for event in outcome.of("agent.ready") if event.get("agent_id") == "writer")
    assert pinned["aid"] == writer.get("aid")
    assert pinned["pubkey"] == pinned["aid"].removeprefix("aid:pubkey:")


async def test_a_key_that_cannot_be_pinned_is_not_said_to_be(
    running: Playground, controls: tuple[Path, dict[str, str]]
) -> None:
    outcome = await run(running, controls[1][P256.name])
    told = outcome.outputs["provision"]
    assert told["provisioned"] is False
    assert "P-256" in told["error"]
    assert (outcome.status, outcome.view.proof) == ("success", "unproven")


async def test_dead_and_forged_registrations_end_in_the_local_peer_with_the_reason(
    running: Playground, cp: Running
) -> None:
    agent = aitp.AitpAgent.from_seed(os.urandom(32))
    # Nobody listens on port 1, so this one is dead.
    manifest = agent.build_manifest("a", "http://localhost:1/aitp/handshake/hello", ["analyze.data"], ttl_secs=3600)
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{cp.url}/api/registry/enroll", data=manifest) as answer:
            token = (await answer.json())["token"]
        headers = {"Authorization": f"Bearer {token}"}
        async with http.post(f"{cp.url}/api/registry/agents", data=manifest, headers=headers) as answer:
            assert answer.status == 201
    await asyncio.sleep(0.6)  # longer than an answer of the registry is remembered
    outcome = await run(running, FEDERATED)
    (resolved,) = outcome.of("trust.peers_resolved")
    analyzer = resolved.get("peers")["analyzer"]
    assert (outcome.status, analyzer["source"], analyzer["reason"]) == ("success", "static_fallback", "none_alive")


@pytest.mark.parametrize("trouble", ["refused", "black_hole", "status status=500"])
async def test_a_control_plane_that_fails_changes_no_runs_status(tmp_path: Path, trouble: str) -> None:
    switches = () if trouble == "refused" else (trouble,)
    async with control_plane(Options(api_keys=("bad-day",), switches=switches)) as bad:
        url = "http://127.0.0.1:1" if trouble == "refused" else bad.url
        settings = {"cp_base_url": url, "cp_api_key": "bad-day", "cp_aid": bad.aid, "cp_timeout_ms": 300}
        async with playground_at(tmp_path, scenarios_dir=str(SHIPPED), **settings) as playground:
            scenarios, _ = await playground.catalog.scenarios()
            for ref in [loaded.ref for loaded in scenarios]:
                outcome = await run(playground, ref)
                assert outcome.status == "success", (ref, outcome.view.error)
                if ref != FEDERATED:
                    assert outcome.view.proof == ("unproven" if ref in WITH_CP else "proven"), ref
                assert bool(outcome.of("cp.degraded")) is (ref in WITH_CP or ref == FEDERATED), ref
                if ref == FEDERATED:
                    (resolved,) = outcome.of("trust.peers_resolved")
                    assert resolved.get("peers")["analyzer"]["reason"].startswith("cp_failed:")


@pytest.mark.parametrize("ref", ["intra-org/revocation-via-cp@1.1.0", "intra-org/cp-delegation-tree@1.0.0", FEDERATED])
async def test_a_control_plane_that_dies_in_mid_run_changes_no_status(tmp_path: Path, ref: str) -> None:
    async with contextlib.AsyncExitStack() as life:
        mortal = await life.enter_async_context(control_plane(Options(api_keys=("mortal",))))
        settings = {"cp_base_url": mortal.url, "cp_api_key": "mortal", "cp_aid": mortal.aid, "cp_timeout_ms": 300}
        async with playground_at(tmp_path, scenarios_dir=str(SHIPPED), **settings) as playground:
            submitted = await playground.directory.submit(NewRun(scenario_ref=ref))
            async for batch in playground.directory.stream(submitted.row.header.run_id):
                if any(entry.type == "step.started" for entry in batch):
                    break
            await life.aclose()
            outcome = await follow(playground, submitted.row.header.run_id)
            assert outcome.status == "success", outcome.view.error


async def test_a_control_plane_that_comes_back_gets_the_run_whole_and_once(tmp_path: Path) -> None:
    async with control_plane(Options(api_keys=("back",), switches=("status status=503",))) as returning:
        settings = {"cp_base_url": returning.url, "cp_api_key": "back", "cp_aid": returning.aid}
        settings |= {"cp_timeout_ms": 500, "cp_ingest_settle_secs": 0.1}
        async with playground_at(tmp_path, scenarios_dir=str(SHIPPED), **settings) as playground:
            outcome = await run(playground, "intra-org/cp-delegation-tree@1.0.0")
            assert (outcome.status, outcome.view.proof) == ("success", "unproven")
            headers = {"Authorization": "Bearer back"}
            async with (
                aiohttp.ClientSession(headers=headers) as http,
                http.delete(f"{returning.url}/dev/switches") as answer,
            ):
                assert answer.status == 200
            events = await reported(returning, outcome)
            assert sorted(event["payload"]["seq"] for event in events) == [event.seq for event in outcome.events]
