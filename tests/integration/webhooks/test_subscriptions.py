"""From the subscription to its removal, against a Control Plane that may be slow, broken or away."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import aitp
import pytest

from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.server import Running, control_plane
from aitp_playground.cp_client import leftovers
from aitp_playground.service import Playground, playground
from tests.integration.runs.watching import submit
from tests.support.playground import follow

from .calling import (
    Subscribed,
    body_of,
    eventually,
    finished_run,
    get,
    running_run,
    secret_of,
    settings_with,
    store_of,
    subscribe,
)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits themselves are the store's to remember; here they only have to be short."""
    monkeypatch.setattr(leftovers, "FIRST_RETRY_SECONDS", 0.02)


async def hooks(running: Playground) -> list[str]:
    """The URLs that the Control Plane calls."""
    found = await running.services.cp.list_webhooks.outcome()
    assert found.reason is None
    return [hook["url"] for hook in found.value]


async def left(running: Playground, run_id: str) -> int:
    return len(await store_of(running).leftovers(run_id))


async def nothing_left(running: Playground, run_id: str) -> bool:
    return await left(running, run_id) == 0


async def test_a_delivery_that_comes_before_the_subscriptions_answer_is_taken(cp: Running, tmp_path: Path) -> None:
    async with playground(settings_with(cp, tmp_path)) as running:
        run_id = await finished_run(running)
        cp.service.switches.set({"fault": "black_hole", "method": "POST", "path": "/api/webhooks", "calls": 1})
        subscribing = asyncio.create_task(subscribe(running, run_id))
        await eventually(lambda: left(running, run_id))
        run = Subscribed(running, run_id, await secret_of(running, run_id))
        assert await run.post(body_of("early")) == 200
        assert not subscribing.done()
        subscribing.cancel()
        await asyncio.gather(subscribing, return_exceptions=True)
        assert (await run.shown())["subscribed"] is False


async def test_after_a_lost_answer_deliveries_are_still_taken_and_the_subscription_is_found_by_its_url(
    cp: Running, tmp_path: Path
) -> None:
    async with playground(settings_with(cp, tmp_path)) as running:
        run_id = await finished_run(running)
        cp.service.switches.set({"fault": "drop", "method": "POST", "path": "/api/webhooks", "calls": 1})
        service = running.services.leftovers
        assert service is not None
        made = await service.subscribe(run_id, ["tct.revoked"])
        assert (made.value, made.reason) == (None, "truncated")
        run = Subscribed(running, run_id, await secret_of(running, run_id))
        assert await run.post(body_of()) == 200
        await running.services.cp.create_webhook(f"{running.url}/of-somebody-else", [], "s" * 32)
        assert len(await hooks(running)) == 2
        await running.directory.delete(run_id)
        await eventually(lambda: nothing_left(running, run_id))
        assert await hooks(running) == [f"{running.url}/of-somebody-else"]


async def test_a_refused_subscription_leaves_no_secret(cp: Running, tmp_path: Path) -> None:
    async with playground(settings_with(cp, tmp_path)) as running:
        run_id = await finished_run(running)
        cp.service.switches.set({"fault": "status", "status": 400, "path": "/api/webhooks", "calls": 1})
        service = running.services.leftovers
        assert service is not None
        made = await service.subscribe(run_id, [])
        assert (made.value, made.reason, made.status) == (None, "http_4xx", 400)
        assert await nothing_left(running, run_id)


async def test_without_a_control_plane_nothing_is_left_and_nothing_is_asked(tmp_path: Path, cp: Running) -> None:
    async with playground(settings_with(cp, tmp_path, cp_base_url="")) as running:
        run_id = await finished_run(running)
        service = running.services.leftovers
        assert service is not None
        made = await service.subscribe(run_id, [])
        await service.leave(run_id, "agent", "aid:pubkey:x")
        assert (made.value, made.reason) == (None, None)
        assert await nothing_left(running, run_id)


async def test_what_a_run_left_is_removed_once_it_has_lingered_and_the_log_says_so(cp: Running, tmp_path: Path) -> None:
    async with playground(settings_with(cp, tmp_path, cp_webhook_linger_secs=0)) as running:
        run_id = await running_run(running)
        run = await subscribe(running, run_id, "handshake.complete")
        aid = await enrolled(running, run_id)
        assert await left(running, run_id) == 2
        await running.directory.cancel(run_id)
        await eventually(lambda: nothing_left(running, run_id))
        outcome = await follow(running, run_id)
        assert outcome.types[-2:] == ["run.cancelled", "cp.webhook.unsubscribed"]
        assert outcome.events[-1].get("source_url") == f"{running.url}/webhooks/cp/{run_id}"
        assert await hooks(running) == []
        assert aid not in await discoverable(running)
        shown = await run.shown()
        assert (shown["subscribed"], shown["webhook"]) == (False, None)
        assert await run.post(body_of()) == 401


async def enrolled(running: Playground, run_id: str) -> str:
    """An agent in the registry that a run has put there."""
    agent = aitp.AitpAgent.from_seed(uuid.uuid4().bytes * 2)
    services = running.services
    assert services.leftovers is not None
    await services.leftovers.leave(run_id, "agent", agent.aid)
    manifest = agent.build_manifest(
        display_name="lingering", handshake_endpoint="http://localhost:1/aitp/handshake/hello", offered_caps=["demo.x"]
    )
    base = f"{services.cp.base_url}/api/registry"
    async with services.http.post(f"{base}/enroll", data=manifest) as answer:
        token = (await answer.json())["token"]
    async with services.http.post(
        f"{base}/agents", data=manifest, headers={"Authorization": f"Bearer {token}"}
    ) as answer:
        assert answer.status == 201
    assert agent.aid in await discoverable(running)
    return agent.aid


async def discoverable(running: Playground) -> list[str]:
    found = await running.services.cp.discover_by_capability.outcome("demo.x")
    assert found.reason is None
    return [row["aid"] for row in found.value]


async def test_what_still_lingers_is_left_alone_until_its_run_is_deleted(cp: Running, tmp_path: Path) -> None:
    async with playground(settings_with(cp, tmp_path)) as running:
        run = await subscribe(running, await finished_run(running))
        going = await subscribe(running, await running_run(running))
        service: Any = running.services.leftovers
        assert 0 < await service._round(running.directory.append_late) <= leftovers.LOOK_SECONDS
        assert len(await hooks(running)) == 2
        await running.directory.delete(run.run_id)
        await eventually(lambda: nothing_left(running, run.run_id))
        assert await hooks(running) == [f"{running.url}/webhooks/cp/{going.run_id}"]
        assert await run.post(body_of()) == 404


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "status", "status": 500},
        {"fault": "status", "status": 401},
        {"fault": "drop"},
        {"fault": "delay", "seconds": 60},
    ],
    ids=["broken", "locked", "answers lost", "slow"],
)
async def test_what_cannot_be_removed_is_tried_again_until_it_is(
    cp: Running, tmp_path: Path, fault: dict[str, Any]
) -> None:
    settings = settings_with(cp, tmp_path, cp_webhook_linger_secs=0, cp_timeout_ms=500)
    async with playground(settings) as running:
        run = await subscribe(running, await running_run(running))
        cp.service.switches.set({**fault, "method": "DELETE"})
        await running.directory.cancel(run.run_id)

        async def tried() -> bool:
            return any(one.tries for one in await store_of(running).leftovers(run.run_id))

        await eventually(tried)
        outcome = await follow(running, run.run_id)
        assert "cp.webhook.unsubscribed" not in outcome.types
        cp.service.switches.clear()
        await eventually(lambda: nothing_left(running, run.run_id))
        assert (await follow(running, run.run_id)).types.count("cp.webhook.unsubscribed") == 1
        found = await cp.service.db.read(lambda db: db.execute("SELECT count(*) FROM webhooks").fetchone()[0])
        assert found == 0


async def test_deliveries_and_removal_go_on_after_a_restart(cp: Running, tmp_path: Path) -> None:
    first, second = body_of("d-1"), body_of("d-2")
    async with playground(settings_with(cp, tmp_path)) as running:
        run = await subscribe(running, await finished_run(running))
        assert await run.post(first) == 200
    async with playground(settings_with(cp, tmp_path)) as running:
        run = Subscribed(running, run.run_id, run.secret)
        assert [await run.post(body) for body in (first, second)] == [200, 200]
        assert [event.get("delivery_id") for event in await run.told()] == ["d-1", "d-2"]
        assert (await run.shown())["subscribed"] is True
    async with playground(settings_with(cp, tmp_path, cp_webhook_linger_secs=0)) as running:
        await eventually(lambda: nothing_left(running, run.run_id))
        assert (await follow(running, run.run_id)).types[-1] == "cp.webhook.unsubscribed"
        assert await hooks(running) == []


async def test_a_crash_before_it_is_forgotten_does_not_tell_twice_of_a_removal(
    cp: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with playground(settings_with(cp, tmp_path)) as running:
        run = await subscribe(running, await finished_run(running))
        service: Any = running.services.leftovers
        [left_over] = await store_of(running).leftovers(run.run_id)
        for _ in range(2):
            assert await service._remove(left_over) is None
            await service._told(left_over, running.directory.append_late)
        assert (await follow(running, run.run_id)).types.count("cp.webhook.unsubscribed") == 1


async def test_what_was_left_at_another_control_plane_is_not_sought_at_this_one(cp: Running, tmp_path: Path) -> None:
    async with playground(settings_with(cp, tmp_path)) as running:
        run = await subscribe(running, await finished_run(running))
    async with (
        control_plane(Options()) as another,
        playground(settings_with(another, tmp_path, cp_webhook_linger_secs=0)) as running,
    ):
        service: Any = running.services.leftovers
        await service._round(running.directory.append_late)
        assert await left(running, run.run_id) == 1


async def test_the_url_is_the_one_that_the_control_plane_can_reach(cp: Running, tmp_path: Path) -> None:
    settings = settings_with(cp, tmp_path, playground_base_url="https://play.example/base/")
    async with playground(settings) as running:
        run = await subscribe(running, await finished_run(running))
        assert await hooks(running) == [f"https://play.example/base/webhooks/cp/{run.run_id}"]


async def test_a_control_plane_delivers_to_the_run_that_subscribed(cp: Running, tmp_path: Path) -> None:
    async with playground(settings_with(cp, tmp_path)) as running:
        run = await subscribe(running, await finished_run(running), "handshake.failed")
        event = {"ts": "2026-11-22T15:00:00.000Z", "payload": {"note": "héllo ☃"}}
        cp.service.switches.set({"fault": "duplicate_delivery"})
        sent = await running.services.cp.ingest_events.outcome(
            [
                {**event, "type": "handshake.failed", "run_id": run.run_id},
                {**event, "type": "handshake.complete", "run_id": run.run_id},
                {**event, "type": "handshake.failed", "run_id": "another"},
            ]
        )
        assert sent.reason is None

        async def both() -> bool:
            return len(await run.told()) == 2

        await eventually(both)
        own = [one for one in await run.told() if not one.get("foreign")]
        assert [one.payload["payload"] for one in own] == [{"note": "héllo ☃"}]
        assert (await run.shown())["count"] == 2


async def test_a_scenario_that_subscribes_is_called_back_about_its_own_handshake(cp: Running, tmp_path: Path) -> None:
    settings = settings_with(cp, tmp_path, scenarios_dir="", cp_webhook_linger_secs=60)
    async with playground(settings) as running:
        run_id = await submit(running, "intra-org/webhook-subscription@1.0.0")

        async def called_back() -> bool:
            shown = await get(running, f"/runs/{run_id}/cp-deliveries", event_type="handshake.complete")
            return any(one["payload"].get("runId") == run_id for one in shown["deliveries"] if "payload" in one)

        outcome = await follow(running, run_id)
        assert outcome.status == "success"
        await eventually(called_back)
        secret = await secret_of(running, run_id)
        assert secret.encode() not in b"".join(entry.body for entry in outcome.view.events)
