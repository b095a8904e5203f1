"""Each switch on the wire: what a client meets, and what has happened all the same."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import aiohttp
import aitp
import pytest

from tests.contract.receiver import Receiver
from tests.unit.control_plane.asking import Answer, Plane
from tests.unit.control_plane.conftest import Start

EVENT = [{"type": "demo", "run_id": "r", "payload": {}}]
LIST = "/.well-known/aitp-revocation-list"


async def on(plane: Plane, fault: str, **fields: Any) -> dict[str, Any]:
    """Switch a fault on over HTTP."""
    answer = await plane.ask("POST", "/dev/switches", {"fault": fault, **fields})
    assert answer.status == 201, answer
    switch: dict[str, Any] = answer.json
    return switch


async def off(plane: Plane) -> int:
    cleared: int = (await plane.ask("DELETE", "/dev/switches")).json["cleared"]
    return cleared


async def stored(plane: Plane) -> int:
    """How many events of the test's run there are."""
    count: int = (await plane.ask("GET", "/api/events/history?runId=r")).json["count"]
    return count


async def raw(plane: Plane, method: str, path: str, body: bytes = b"") -> bytes:
    """Every byte that comes back before the connection ends."""
    host, _, port = plane.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {plane.running.key}\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
    finally:
        writer.close()


# -- the admin routes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_the_switches_need_the_key(plane: Plane, method: str) -> None:
    assert (await plane.ask(method, "/dev/switches", Authorization="Bearer wrong")).status == 401


async def test_switches_are_listed_with_the_calls_they_have_left(plane: Plane) -> None:
    made = await on(plane, "status", status=503, calls=3, path="/api/sessions")
    await plane.ask("GET", "/api/sessions")

    assert (await plane.ask("GET", "/dev/switches")).json == {"switches": [{**made, "calls": 2}]}


async def test_one_switch_is_cleared_by_its_id_and_the_others_stay(plane: Plane) -> None:
    made = await on(plane, "html", path="/api/sessions")
    await on(plane, "status", path="/api/tcts")

    assert (await plane.ask("DELETE", f"/dev/switches/{made['id']}")).json == {"cleared": 1}
    assert (await plane.ask("DELETE", f"/dev/switches/{made['id']}")).json == {"cleared": 0}
    assert (await plane.ask("GET", "/api/sessions")).status == 200
    assert (await plane.ask("GET", "/api/tcts")).status == 500


@pytest.mark.parametrize("body", [{"fault": "gremlins"}, [], 7, {"fault": "delay", "seconds": "long"}], ids=str)
async def test_a_switch_that_makes_no_sense_is_400(plane: Plane, body: Any) -> None:
    answer = await plane.ask("POST", "/dev/switches", body)

    assert (answer.status, answer.json["code"]) == (400, "SWITCH_INVALID")


async def test_no_switch_meets_the_admin_routes(plane: Plane) -> None:
    await on(plane, "black_hole")
    await on(plane, "database_lost")
    await on(plane, "inserts_blocked")
    await on(plane, "no_keys")

    assert await off(plane) == 4
    assert (await plane.ask("GET", "/api/sessions")).status == 200


async def test_start_up_options_misbehave_from_the_first_request_on(start: Start) -> None:
    plane: Plane = await start(switches=("status status=503 calls=1", "html path=/api/tcts"))

    assert (await plane.ask("GET", "/api/health")).status == 503
    assert (await plane.ask("GET", "/api/health")).status == 200
    assert b"<html" in (await plane.ask("GET", "/api/tcts")).body


# -- requests ---------------------------------------------------------------------------------------------------------


async def test_a_delay_comes_before_the_answer(plane: Plane) -> None:
    await on(plane, "delay", seconds=600, path="/api/events")
    slow = asyncio.create_task(plane.ask("POST", "/api/events", EVENT))

    assert (await plane.ask("GET", "/api/sessions")).status == 200
    assert not slow.done()
    slow.cancel()
    await off(plane)
    await on(plane, "delay", seconds=0.05)
    assert (await plane.ask("POST", "/api/events", EVENT)).json == {"ingested": 1}


async def test_a_black_hole_swallows_the_request_until_it_is_cleared(plane: Plane) -> None:
    await on(plane, "black_hole", path="/api/events", calls=1)
    swallowed = asyncio.create_task(raw(plane, "POST", "/api/events", json.dumps(EVENT).encode()))
    while (await plane.ask("GET", "/dev/switches")).json["switches"]:
        assert not swallowed.done()

    assert not swallowed.done()
    await off(plane)
    assert await swallowed == b""
    assert await stored(plane) == 0


async def test_a_black_hole_keeps_nothing_of_a_client_that_went_away(plane: Plane) -> None:
    await on(plane, "black_hole", path="/api/events", calls=1)
    swallowed = asyncio.create_task(raw(plane, "POST", "/api/events", json.dumps(EVENT).encode()))
    while (await plane.ask("GET", "/dev/switches")).json["switches"]:
        assert not swallowed.done()

    swallowed.cancel()

    over = re.compile(rb'aitp_cp_http_requests_total\{.*route="/api/events".*4xx.*\} 1.0')
    while not over.search((await plane.ask("GET", "/api/metrics")).body):
        assert not await stored(plane)


@pytest.mark.parametrize(
    ("status", "code"), [(500, None), (503, None), (429, "RATE_LIMITED"), (401, "INVALID_API_KEY"), (409, "SWITCHED")]
)
async def test_a_status_is_answered_for_the_next_calls_and_nothing_is_done(
    plane: Plane, status: int, code: str | None
) -> None:
    await on(plane, "status", status=status, calls=2, method="POST", path="/api/events")

    answers = [await plane.ask("POST", "/api/events", EVENT) for _ in range(3)]

    assert [answer.status for answer in answers] == [status, status, 200]
    assert (answers[0].json["code"] if answers[0].body else None) == code
    assert ("Retry-After" in answers[0].headers) is (status == 429)
    assert await stored(plane) == 1


async def test_a_page_comes_where_json_was_asked_for(plane: Plane) -> None:
    await on(plane, "html", status=502, calls=1)

    answer = await plane.ask("GET", "/api/sessions")

    assert (answer.status, answer.headers["Content-Type"].split(";")[0]) == (502, "text/html")
    assert answer.body.startswith(b"<!DOCTYPE html>")


async def test_a_truncated_answer_announces_more_than_comes_and_its_request_was_done(plane: Plane) -> None:
    await on(plane, "truncate", calls=2, method="POST")

    came = await raw(plane, "POST", "/api/events", json.dumps(EVENT).encode())
    head, _, rest = came.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"content-length: 14" in head.lower()
    assert rest == b'{"inges'

    with pytest.raises(aiohttp.ClientPayloadError):
        await plane.ask("POST", "/api/events", EVENT)
    assert await stored(plane) == 2


async def test_a_dropped_answer_never_comes_and_its_request_was_done(plane: Plane) -> None:
    await on(plane, "drop", calls=1, method="POST")

    assert await raw(plane, "POST", "/api/events", json.dumps(EVENT).encode()) == b""
    assert await stored(plane) == 1


async def test_a_stream_is_refused_like_any_other_request(plane: Plane) -> None:
    await plane.ask("POST", "/api/events", EVENT)
    await on(plane, "status", status=503, calls=1, path="/api/events/stream")

    assert (await plane.ask("GET", "/api/events/stream")).status == 503


# -- the database -----------------------------------------------------------------------------------------------------


async def test_without_its_database_it_breaks_says_so_and_comes_back_whole(plane: Plane) -> None:
    await plane.ask("POST", "/api/events", EVENT)
    await on(plane, "database_lost")

    for method, path in (("POST", "/api/events"), ("GET", "/api/events/history"), ("GET", "/api/registry/agents")):
        broken = await plane.ask(method, path, EVENT if method == "POST" else None)
        assert (broken.status, broken.body) == (500, b"")
    assert (await plane.ask("GET", "/api/health")).status == 503
    assert (await plane.ask("GET", "/api/readyz")).status == 503

    await off(plane)
    assert (await plane.ask("GET", "/api/health")).status == 200
    assert await stored(plane) == 1


async def test_it_can_start_with_its_database_lost(start: Start) -> None:
    plane: Plane = await start(switches=("database_lost",))

    assert (await plane.ask("GET", "/api/health")).status == 503
    await off(plane)
    assert (await plane.ask("POST", "/api/events", EVENT)).json == {"ingested": 1}


# -- the revocation list ----------------------------------------------------------------------------------------------


async def revoked(plane: Plane) -> str:
    jti = str(uuid4())
    assert (await plane.ask("POST", "/api/revocation/entries", {"jti": jti})).status == 201
    return jti


@pytest.mark.parametrize(
    ("how", "code"), [("tampered", "signature_invalid"), ("foreign", "issuer_mismatch"), ("stale", "expired")]
)
async def test_a_forged_list_does_not_verify(plane: Plane, how: str, code: str) -> None:
    await revoked(plane)
    await on(plane, "forged_list", how=how, calls=1)

    answer = await plane.ask("GET", LIST)
    with pytest.raises(aitp.RevocationVerificationError) as refused:
        aitp.verify_revocation_list(answer.body.decode(), plane.running.aid)
    assert refused.value.code == code

    honest = await plane.ask("GET", LIST)
    aitp.verify_revocation_list(honest.body.decode(), plane.running.aid)


async def test_an_emptied_list_verifies_and_has_forgotten_everything(plane: Plane) -> None:
    jti = await revoked(plane)
    await on(plane, "forged_list", how="emptied", calls=1)

    emptied = await plane.ask("GET", LIST)
    aitp.verify_revocation_list(emptied.body.decode(), plane.running.aid)
    assert emptied.json["revocation_list"]["entries"] == []
    assert [entry["jti"] for entry in (await plane.ask("GET", LIST)).json["revocation_list"]["entries"]] == [jti]


async def test_without_its_database_the_list_fails_open_for_a_minute(plane: Plane) -> None:
    await revoked(plane)
    await on(plane, "database_lost")

    for _ in range(2):
        opened = await plane.ask("GET", LIST)
        aitp.verify_revocation_list(opened.body.decode(), plane.running.aid)
        assert opened.json["revocation_list"]["entries"] == []
        await off(plane)

    plane.skip(61)
    assert len((await plane.ask("GET", LIST)).json["revocation_list"]["entries"]) == 1


# -- deliveries -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as listening:
        yield listening


async def subscribe(plane: Plane, receiver: Receiver) -> Answer:
    answer = await plane.ask("POST", "/api/webhooks", {"url": receiver.url})
    assert answer.status == 201
    return answer


def completions(many: int) -> list[dict[str, Any]]:
    return [{"type": "handshake.complete", "run_id": "r", "payload": {"n": n}} for n in range(many)]


async def test_a_duplicated_delivery_comes_twice_under_one_id_while_the_first_is_open(
    plane: Plane, receiver: Receiver
) -> None:
    await subscribe(plane, receiver)
    await on(plane, "duplicate_delivery", calls=1)
    receiver.answering.clear()
    await plane.ask("POST", "/api/events", completions(1))

    first, second = await receiver.wait(2)

    assert (first.id, first.raw) == (second.id, second.raw)


async def test_deliveries_out_of_order_come_with_the_later_event_first(plane: Plane, receiver: Receiver) -> None:
    await subscribe(plane, receiver)
    await on(plane, "reorder_deliveries", calls=1, seconds=60)
    await plane.ask("POST", "/api/events", completions(2))

    came = await receiver.wait(2)

    assert [delivery.event["payload"]["n"] for delivery in came] == [1, 0]


# -- blocked inserts --------------------------------------------------------------------------------------------------


async def test_blocked_inserts_wait_while_reads_answer_and_are_done_though_their_client_has_gone(plane: Plane) -> None:
    await on(plane, "inserts_blocked")
    leaving = asyncio.create_task(raw(plane, "POST", "/api/events", json.dumps(EVENT).encode()))
    while not plane.service.db.held:  # noqa: ASYNC110 - it is held once it is there
        await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    waiting = asyncio.create_task(plane.ask("POST", "/api/events", EVENT))
    assert await stored(plane) == 0
    assert not waiting.done()

    assert await off(plane) == 1

    assert (await waiting).json == {"ingested": 1}
    async with asyncio.timeout(300):
        while await stored(plane) != 2:
            pass


@pytest.mark.parametrize("key", [None, "same"])
async def test_blocked_requests_of_one_key_are_each_carried_out(plane: Plane, key: str | None) -> None:
    await on(plane, "inserts_blocked")
    headers = {} if key is None else {"Idempotency_Key": key}
    both = [asyncio.create_task(plane.ask("POST", "/api/events", EVENT, **headers)) for _ in range(2)]
    while (await plane.ask("GET", "/api/metrics")).status != 200 or plane.service.db.held < 2:
        pass
    await off(plane)
    assert [answer.json for answer in await asyncio.gather(*both)] == [{"ingested": 1}] * 2
    assert await stored(plane) == 2


async def test_a_delayed_request_is_carried_out_though_its_client_has_gone(plane: Plane) -> None:
    await on(plane, "delay", seconds=0.5, calls=1)
    leaving = asyncio.create_task(raw(plane, "POST", "/api/events", json.dumps(EVENT).encode()))
    while list(plane.service.switches):  # noqa: ASYNC110 - it is used up once the delay has begun
        await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    async with asyncio.timeout(300):
        while await stored(plane) != 1:
            pass
