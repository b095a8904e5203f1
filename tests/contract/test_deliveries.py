"""What arrives at a webhook's receiver, how often, and signed with what."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from tests.contract.receiver import Receiver, of_run
from tests.contract.test_webhooks import subscribed
from tests.contract.wire import ISO_TIME, UUID, ControlPlane, eventually

Subscribe = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
async def subscribe(receiver: Receiver) -> AsyncIterator[Subscribe]:
    """Subscribe the receiver; every subscription ends with the test."""
    made: list[tuple[ControlPlane, str]] = []

    async def subscribe(cp: ControlPlane, **fields: Any) -> dict[str, Any]:
        if not cp.own and not cp.url.startswith(("http://127.", "http://localhost")):
            pytest.skip("a receiver on this machine's loopback cannot be reached from there")
        hook = await subscribed(cp, receiver.url, **fields)
        made.append((cp, hook["id"]))
        return hook

    yield subscribe
    for cp, hook_id in made:
        await cp.delete(f"/api/webhooks/{hook_id}")


def complete(run: str, **fields: Any) -> dict[str, Any]:
    return {"type": "handshake.complete", "run_id": run, "payload": {}, **fields}


@pytest.mark.parametrize("secret", [None, "geheim ☃"])
async def test_a_delivery_is_the_whole_event_signed_over_the_raw_body(
    cp: ControlPlane, receiver: Receiver, subscribe: Subscribe, unique: str, secret: str | None
) -> None:
    hook = await subscribe(cp, **({} if secret is None else {"secret": secret}))
    payload = {"note": "héllo ☃ 😀", "boundary": "cross_org"}
    await cp.ingest(complete(unique, session_id="S", aid_a="A", aid_b="B", grants=["g"], source="s", payload=payload))
    (row,) = await cp.history(runId=unique)

    (delivery, *_) = await receiver.wait(which=of_run(unique))

    assert delivery.method == "POST"
    assert delivery.headers["Content-Type"] == "application/json"
    assert delivery.headers["X-Aitp-Event"] == "handshake.complete"
    assert UUID.fullmatch(delivery.id)
    assert delivery.signed_with(hook["secret"])
    assert "☃".encode() in delivery.raw
    body = delivery.body
    assert body.keys() == {"deliveryId", "eventType", "payload", "enqueuedAt"}
    assert (body["deliveryId"], body["eventType"]) == (delivery.id, "handshake.complete")
    assert ISO_TIME.fullmatch(body["enqueuedAt"])
    assert ISO_TIME.fullmatch(body["payload"].pop("ts"))
    assert body["payload"] == {
        "id": row["id"],
        "type": "handshake.complete",
        "aidA": "A",
        "aidB": "B",
        "sessionId": "S",
        "runId": unique,
        "grants": ["g"],
        "payload": payload,
        "source": "s",
    }


async def test_absent_fields_are_left_out(
    cp: ControlPlane, receiver: Receiver, subscribe: Subscribe, unique: str
) -> None:
    await subscribe(cp)
    await cp.ingest(complete(unique))

    (delivery, *_) = await receiver.wait(which=of_run(unique))
    assert delivery.event.keys() == {"id", "type", "ts", "runId", "payload", "source"}


async def test_only_deliverable_types_arrive(
    cp: ControlPlane, receiver: Receiver, subscribe: Subscribe, unique: str
) -> None:
    await subscribe(cp, events=[])
    others = ("handshake.started", "tct.issued", "delegation.issued", "demo", "agent.made_up")
    await cp.ingest(*({**complete(unique), "type": other} for other in others))
    await cp.ingest(*({**complete(unique), "type": f"handshake.{end}"} for end in ("failed", "complete")))

    came = await receiver.wait(2, of_run(unique))
    assert {delivery.event["type"] for delivery in came} == {"handshake.failed", "handshake.complete"}


async def test_a_hook_gets_the_types_it_asked_for_of_every_run(
    cp: ControlPlane, receiver: Receiver, subscribe: Subscribe, unique: str
) -> None:
    await subscribe(cp, events=["handshake.failed"])
    await cp.ingest(complete(unique), {**complete(unique), "type": "handshake.failed"})
    await cp.ingest({**complete(unique + "-other"), "type": "handshake.failed"})

    await receiver.wait(which=of_run(unique + "-other"))
    (mine, *_) = await receiver.wait(which=of_run(unique))
    assert mine.event["type"] == "handshake.failed"
    assert "handshake.complete" not in {delivery.event["type"] for delivery in receiver.came()}


async def test_revocations_and_agents_are_delivered_without_a_run(
    cp: ControlPlane, receiver: Receiver, subscribe: Subscribe
) -> None:
    await subscribe(cp, events=["tct.revoked"])
    jti = str(uuid4())
    await cp.post("/api/revocation/entries", {"jti": jti})

    (delivery, *_) = await receiver.wait(which=lambda d: d.event["payload"].get("jti") == jti)
    assert "runId" not in delivery.event


async def test_two_hooks_share_the_event_not_the_delivery(
    cp: ControlPlane, receiver: Receiver, subscribe: Subscribe, unique: str
) -> None:
    await subscribe(cp)
    await subscribe(cp)
    await cp.ingest(complete(unique))

    one, two, *_ = await receiver.wait(2, of_run(unique))
    assert one.event["id"] == two.event["id"]
    assert one.id != two.id


async def test_every_event_of_a_batch_arrives(
    cp: ControlPlane, receiver: Receiver, subscribe: Subscribe, unique: str
) -> None:
    await subscribe(cp)
    await cp.ingest(*(complete(unique, payload={"n": n}) for n in range(30)))

    came = await receiver.wait(30, of_run(unique))
    assert {delivery.event["payload"]["n"] for delivery in came} == set(range(30))


@pytest.mark.parametrize("status", [500, 410])
async def test_a_refused_delivery_is_tried_three_times_with_the_same_bytes(
    own_cp: ControlPlane, receiver: Receiver, subscribe: Subscribe, unique: str, status: int
) -> None:
    hook = await subscribe(own_cp)
    receiver.answers = [lambda: web.Response(status=status)] * 3
    await own_cp.ingest(complete(unique))

    tries = await receiver.wait(3, of_run(unique))
    assert len({(delivery.id, delivery.raw, delivery.headers["X-Aitp-Signature"]) for delivery in tries}) == 1
    breaker = (await own_cp.get(f"/api/webhooks/{hook['id']}/circuit-breaker")).json()
    assert (breaker["state"], breaker["failures"] <= 3) == ("closed", True)


async def test_a_retry_keeps_the_signature_of_the_old_secret(
    own_cp: ControlPlane, receiver: Receiver, subscribe: Subscribe, unique: str
) -> None:
    hook = await subscribe(own_cp, secret="old")
    receiver.answers = [lambda: web.Response(status=500)]
    receiver.answering.clear()
    await own_cp.ingest(complete(unique))
    await receiver.wait(1, of_run(unique))
    assert (await own_cp.patch(f"/api/webhooks/{hook['id']}", {"secret": "new"})).status == 200
    receiver.answering.set()

    _, retry, *_ = await receiver.wait(2, of_run(unique))
    assert retry.signed_with("old")
    await own_cp.ingest(complete(unique + "2"))
    (fresh, *_) = await receiver.wait(1, of_run(unique + "2"))
    assert fresh.signed_with("new")


async def test_an_unanswered_delivery_is_sent_again_under_the_same_id(
    own_cp: ControlPlane, receiver: Receiver, subscribe: Subscribe, unique: str
) -> None:
    await subscribe(own_cp)
    receiver.answering.clear()
    await own_cp.ingest(complete(unique))

    first, second, *_ = await receiver.wait(2, of_run(unique))
    assert (first.id, first.raw) == (second.id, second.raw)


async def test_five_failures_in_a_row_open_the_breaker_and_a_reset_closes_it(
    own_cp: ControlPlane, receiver: Receiver, subscribe: Subscribe, unique: str
) -> None:
    hook = await subscribe(own_cp)
    receiver.answers = [lambda: web.Response(status=500)] * 1000
    await own_cp.ingest(*(complete(unique, payload={"n": n}) for n in range(6)))
    await receiver.wait(5, of_run(unique))
    path = f"/api/webhooks/{hook['id']}/circuit-breaker"

    async def opened() -> bool:
        return (await own_cp.get(path)).json()["openedAt"] is not None

    await eventually(opened)

    receiver.answers = []
    assert (await own_cp.post(f"{path}/reset")).status == 200
    assert (await own_cp.get(path)).json()["state"] == "closed"


async def test_a_redirect_is_followed_as_a_get_without_a_body(
    cp: ControlPlane, receiver: Receiver, subscribe: Subscribe, unique: str
) -> None:
    await subscribe(cp)
    receiver.answers = [lambda: web.Response(status=302, headers={"Location": f"/{unique}"})] * 20
    await cp.ingest(complete(unique))

    (followed, *_) = await receiver.wait(1, lambda delivery: delivery.method == "GET")
    assert followed.raw == b""
    assert "X-Aitp-Signature" in followed.headers


async def test_a_hook_that_is_off_gets_nothing(
    cp: ControlPlane, receiver: Receiver, subscribe: Subscribe, unique: str
) -> None:
    off = await subscribe(cp)
    assert (await cp.patch(f"/api/webhooks/{off['id']}", {"active": False})).status == 200
    on = await subscribe(cp)
    await cp.ingest(*(complete(unique, payload={"n": n}) for n in range(3)))

    came = await receiver.wait(3, of_run(unique))
    assert all(delivery.signed_with(on["secret"]) for delivery in came)


async def pending(cp: ControlPlane) -> int:
    """Deliveries that were neither made nor given up."""
    count: int = (await cp.get("/api/dashboard/overview")).json()["kpis"]["pendingWebhookDeliveries"]
    return count


async def refused_once(cp: ControlPlane, receiver: Receiver, run: str) -> None:
    """A delivery that failed, and waits for its next try."""
    receiver.answers = [lambda: web.Response(status=500)]
    await cp.ingest(complete(run))
    await receiver.wait(1, of_run(run))
    assert await pending(cp) == 1


async def test_what_is_pending_vanishes_with_its_hook(
    calm_cp: ControlPlane, receiver: Receiver, subscribe: Subscribe, unique: str
) -> None:
    hook = await subscribe(calm_cp)
    await refused_once(calm_cp, receiver, unique)

    await calm_cp.delete(f"/api/webhooks/{hook['id']}")

    assert await pending(calm_cp) == 0


async def test_what_is_pending_for_a_hook_that_is_switched_off_stays_until_its_next_try(
    calm_cp: ControlPlane, receiver: Receiver, subscribe: Subscribe, unique: str
) -> None:
    hook = await subscribe(calm_cp)
    await refused_once(calm_cp, receiver, unique)

    assert (await calm_cp.patch(f"/api/webhooks/{hook['id']}", {"active": False})).json()["active"] is False
    assert await pending(calm_cp) == 1


async def test_a_hook_that_is_off_fails_what_was_pending_and_has_it_no_more_when_it_is_on_again(
    own_cp: ControlPlane, receiver: Receiver, subscribe: Subscribe, unique: str
) -> None:
    hook = await subscribe(own_cp)
    receiver.answers = [lambda: web.Response(status=500)] * 2
    await own_cp.ingest(complete(unique))
    await receiver.wait(1, of_run(unique))
    await own_cp.patch(f"/api/webhooks/{hook['id']}", {"active": False})

    async def given_up() -> bool:
        return await pending(own_cp) == 0

    await eventually(given_up)
    await own_cp.patch(f"/api/webhooks/{hook['id']}", {"active": True})
    assert await pending(own_cp) == 0
