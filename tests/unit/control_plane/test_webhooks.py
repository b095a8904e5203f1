"""Webhooks and their deliveries, against a receiver on loopback, with the service's clock in the test's hand."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from aitp_playground.control_plane.webhooks.breakers import JITTER_SECONDS, OPENED_BY, RESET_SECONDS
from aitp_playground.control_plane.webhooks.deliveries import AT_ONCE, PER_HOOK, SWEEP_SECONDS
from tests.contract.receiver import Receiver
from tests.unit.control_plane.serving import Served, serving

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def cp(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        yield served


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


async def hooked(cp: Served, url: str, **fields: Any) -> dict[str, Any]:
    status, hook = await cp.call("POST", "/api/webhooks", {"url": url, **fields})
    assert status == 201, hook
    found: dict[str, Any] = hook
    return found


def complete(n: int = 0) -> dict[str, Any]:
    return {"type": "handshake.complete", "runId": "r", "payload": {"n": n}}


def failing() -> web.Response:
    return web.Response(status=500)


async def failures(cp: Served, hook: dict[str, Any], count: int) -> dict[str, Any]:
    """The breaker once so many failures are on record."""
    found: dict[str, Any] = await cp.until(
        f"/api/webhooks/{hook['id']}/circuit-breaker", lambda breaker: breaker["failures"] >= count
    )
    return found


async def all_due_sent(cp: Served) -> None:
    """A delivery made just now arrived elsewhere: what had been due before it is under way as well."""
    async with Receiver() as elsewhere:
        hook = await hooked(cp, elsewhere.url, events=["tct.revoked"])
        await cp.ingest({"type": "tct.revoked"})
        await elsewhere.wait()
        await cp.call("DELETE", f"/api/webhooks/{hook['id']}")


async def pending(cp: Served, count: int) -> None:
    await cp.until("/api/dashboard/overview", lambda overview: overview["kpis"]["pendingWebhookDeliveries"] == count)


# -- settings ---------------------------------------------------------------------------------------------------------


async def test_only_the_first_answer_shows_the_secret(cp: Served) -> None:
    hook = await hooked(cp, "http://127.0.0.1:9/", events=["handshake.failed", 7, "unheard.of"])
    assert len(bytes.fromhex(hook["secret"])) == 16
    assert hook["events"] == ["handshake.failed", "unheard.of"]
    _, patched = await cp.call("PATCH", f"/api/webhooks/{hook['id']}", {"secret": "better-kept-1", "active": "no"})
    assert patched.keys() == {"id", "url", "events", "active", "updatedAt"}
    assert patched["active"] is True
    told = [await cp.get("/api/webhooks"), await cp.get("/api/audit")]
    assert hook["secret"] not in str(told)
    assert "better-kept-1" not in str(told)
    assert {entry["action"] for entry in told[1]["entries"]} == {"webhook.create", "webhook.update"}


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "127.0.0.1:80", "http://", "http://[", "javascript:1"])
async def test_an_address_nobody_could_deliver_to_is_refused(cp: Served, url: str) -> None:
    status, refused = await cp.call("POST", "/api/webhooks", {"url": url})
    assert (status, refused["code"]) == (400, "URL_NOT_ALLOWED")
    assert (await cp.get("/api/webhooks")) == {"webhooks": []}


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_hook_that_is_gone_is_not_found_and_an_id_that_is_none_breaks(cp: Served, method: str) -> None:
    assert (await cp.call(method, f"/api/webhooks/{NOBODY}", {}))[0] == 404
    assert await cp.call(method, "/api/webhooks/seven", {}) == (500, None)


async def test_a_secret_longer_than_its_column_breaks_and_stores_nothing(cp: Served) -> None:
    assert await cp.call("POST", "/api/webhooks", {"url": "http://127.0.0.1:9/", "secret": "x" * 256}) == (500, None)
    assert await cp.call("POST", "/api/webhooks") == (400, {"error": "body must be JSON", "code": "BODY_INVALID"})
    assert (await cp.get("/api/webhooks")) == {"webhooks": []}


# -- deliveries -------------------------------------------------------------------------------------------------------


async def test_a_retry_comes_after_30_and_120_seconds_with_the_same_id_body_and_signature(
    cp: Served, receiver: Receiver
) -> None:
    clock = cp.stop_the_clock()
    hook = await hooked(cp, receiver.url, events=["handshake.complete"])
    receiver.answers = [failing, failing, failing]
    await cp.ingest(complete())
    await failures(cp, hook, 1)
    await cp.call("PATCH", f"/api/webhooks/{hook['id']}", {"secret": "another"})

    cp.pass_time(clock, 29.9)
    await all_due_sent(cp)
    assert len(receiver.came()) == 1
    cp.pass_time(clock, 0.2)
    await failures(cp, hook, 2)
    cp.pass_time(clock, 119.8)
    await all_due_sent(cp)
    assert len(receiver.came()) == 2
    cp.pass_time(clock, 0.3)
    await pending(cp, 0)

    tries = receiver.came()
    assert len(tries) == 3
    assert {(each.id, each.raw, each.headers["X-Aitp-Signature"]) for each in tries} == {
        (tries[0].id, tries[0].raw, tries[0].headers["X-Aitp-Signature"])
    }
    assert tries[2].signed_with(hook["secret"])


async def test_what_was_pending_when_the_service_ended_is_delivered_by_the_next(
    tmp_path: Path, receiver: Receiver
) -> None:
    async with serving(tmp_path) as cp:
        hook = await hooked(cp, receiver.url)
        cp.running.service.switches.set({"fault": "reorder_deliveries", "seconds": 600})
        await cp.ingest(complete())
    assert receiver.came() == []
    async with serving(tmp_path):
        (delivery,) = await receiver.wait()
    assert delivery.signed_with(hook["secret"])


async def test_the_sweep_sends_once_more_what_is_still_unanswered(cp: Served, receiver: Receiver) -> None:
    clock = cp.stop_the_clock()
    await hooked(cp, receiver.url)
    receiver.answering.clear()
    await cp.ingest(complete())
    await receiver.wait()
    cp.pass_time(clock, SWEEP_SECONDS + 1)
    first, second = await receiver.wait(2)
    receiver.answering.set()
    assert first.id == second.id
    await pending(cp, 0)


async def test_a_hook_that_is_off_fails_what_is_pending_when_its_next_try_is_due(
    cp: Served, receiver: Receiver
) -> None:
    clock = cp.stop_the_clock()
    hook = await hooked(cp, receiver.url)
    receiver.answers = [failing]
    await cp.ingest(complete(1))
    await failures(cp, hook, 1)
    await cp.call("PATCH", f"/api/webhooks/{hook['id']}", {"active": False})
    await cp.ingest(complete(2))
    await pending(cp, 1)
    cp.pass_time(clock, 31)
    await pending(cp, 0)
    await cp.call("PATCH", f"/api/webhooks/{hook['id']}", {"active": True})
    await cp.ingest(complete(3))
    await receiver.wait(2)
    await pending(cp, 0)
    assert [delivery.event["payload"]["n"] for delivery in receiver.came()] == [1, 3]


async def test_what_fails_because_its_hook_is_off_is_no_probe_of_its_breaker(cp: Served, receiver: Receiver) -> None:
    clock = cp.stop_the_clock()
    hook = await opened(cp, receiver)
    await cp.call("PATCH", f"/api/webhooks/{hook['id']}", {"active": False})
    cp.pass_time(clock, RESET_SECONDS + JITTER_SECONDS + 1)
    await pending(cp, 0)
    assert (await cp.get(f"/api/webhooks/{hook['id']}/circuit-breaker"))["state"] == "open"
    assert len(receiver.came()) == OPENED_BY


async def test_deleting_a_hook_takes_its_deliveries_along(cp: Served, receiver: Receiver) -> None:
    hook = await hooked(cp, receiver.url)
    receiver.answers = [failing]
    await cp.ingest(complete())
    await failures(cp, hook, 1)
    assert await cp.call("DELETE", f"/api/webhooks/{hook['id']}") == (200, {"id": hook["id"], "deleted": True})
    await pending(cp, 0)


async def test_a_hook_gets_the_types_it_asked_for_and_no_undeliverable_ones(cp: Served, receiver: Receiver) -> None:
    await hooked(cp, f"{receiver.url}/all")
    await hooked(cp, f"{receiver.url}/failed", events=["handshake.failed", "demo"])
    kinds = ["demo", "tct.issued", "handshake.complete", "handshake.failed"]
    await cp.ingest(*({"type": kind} for kind in kinds))
    came = await receiver.wait(3)
    await pending(cp, 0)
    assert Counter(delivery.headers["X-Aitp-Event"] for delivery in came) == {
        "handshake.complete": 1,
        "handshake.failed": 2,
    }


async def test_a_stuck_receiver_holds_up_nobody_else_and_gets_a_bounded_number(cp: Served, receiver: Receiver) -> None:
    async with Receiver() as stuck:
        stuck.answering.clear()
        await hooked(cp, stuck.url)
        await cp.ingest(*(complete(n) for n in range(AT_ONCE + 1)))
        await stuck.wait(PER_HOOK)
        await hooked(cp, receiver.url)
        await cp.ingest(complete(999))
        (delivery,) = await receiver.wait()
        assert delivery.event["payload"]["n"] == 999
        assert len(stuck.came()) == PER_HOOK
        hooks = (await cp.get("/api/webhooks"))["webhooks"]
        await cp.call("DELETE", f"/api/webhooks/{hooks[0]['id']}")


# -- the breaker ------------------------------------------------------------------------------------------------------


async def opened(cp: Served, receiver: Receiver) -> dict[str, Any]:
    """A hook whose breaker has just opened, with that many deliveries waiting for their second try."""
    hook = await hooked(cp, receiver.url, events=["handshake.complete"])
    receiver.answers = [failing] * OPENED_BY
    await cp.ingest(*(complete(n) for n in range(OPENED_BY)))
    assert (await failures(cp, hook, OPENED_BY))["state"] == "open"
    return hook


async def test_an_open_breaker_lets_one_delivery_probe_and_its_arrival_lets_the_rest_go(
    cp: Served, receiver: Receiver
) -> None:
    clock = cp.stop_the_clock()
    hook = await opened(cp, receiver)
    await cp.ingest(complete(99))
    cp.pass_time(clock, RESET_SECONDS - 1)
    await all_due_sent(cp)
    assert len(receiver.came()) == OPENED_BY
    receiver.answering.clear()
    cp.pass_time(clock, JITTER_SECONDS + 1)
    await receiver.wait(OPENED_BY + 1)
    breaker = await cp.get(f"/api/webhooks/{hook['id']}/circuit-breaker")
    assert breaker["state"] == "half_open"
    assert len(receiver.came()) == OPENED_BY + 1
    receiver.answering.set()
    await pending(cp, 0)
    assert len({delivery.id for delivery in receiver.came()}) == OPENED_BY + 1
    assert (await cp.get(f"/api/webhooks/{hook['id']}/circuit-breaker"))["state"] == "closed"


async def test_a_probe_that_fails_opens_the_breaker_again(
    cp: Served, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: low)
    clock = cp.stop_the_clock()
    hook = await opened(cp, receiver)
    receiver.answers = [failing]
    cp.pass_time(clock, RESET_SECONDS + 1)
    breaker = await failures(cp, hook, OPENED_BY + 1)
    assert breaker["state"] == "open"
    assert breaker["nextProbeAt"] > breaker["openedAt"]
    assert len(receiver.came()) == OPENED_BY + 1


async def test_resetting_the_breaker_sends_what_waits_at_once(cp: Served, receiver: Receiver) -> None:
    cp.stop_the_clock()
    hook = await opened(cp, receiver)
    await cp.ingest(complete(99))
    status, breaker = await cp.call("POST", f"/api/webhooks/{hook['id']}/circuit-breaker/reset")
    assert (status, breaker) == (200, await cp.get(f"/api/webhooks/{NOBODY}/circuit-breaker"))
    await receiver.wait(which=lambda delivery: delivery.event["payload"]["n"] == 99)
