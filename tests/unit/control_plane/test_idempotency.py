"""``Idempotency-Key``: what is given again, for how long, and the gaps that clients must know."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest

from aitp_playground.control_plane.middlewares.idempotency import KEPT_SECONDS
from tests.unit.control_plane.asking import Answer, Plane, manifest

ENTRIES = "/api/revocation/entries"
EVENTS = "/api/events"


async def post(plane: Plane, path: str, body: Any, key: str = "k", **headers: str) -> Answer:
    return await plane.ask("POST", path, body, Idempotency_Key=key, **headers)


async def events(plane: Plane) -> int:
    history = (await plane.ask("GET", "/api/events/history")).json
    return int(history["count"])


async def test_the_same_key_gives_the_first_answer_and_does_nothing_more(plane: Plane) -> None:
    first = await post(plane, EVENTS, [{"type": "a"}])
    again = await post(plane, EVENTS, [{"type": "b"}, {"type": "c"}])
    assert (first.status, first.json) == (again.status, again.json) == (200, {"ingested": 1})
    assert await events(plane) == 1
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_a_key_belongs_to_its_endpoint(plane: Plane) -> None:
    jti = str(uuid4())
    assert (await post(plane, EVENTS, [{"type": "a"}])).json == {"ingested": 1}
    assert (await post(plane, ENTRIES, {"jti": jti})).json["jti"] == jti


async def test_a_key_is_good_for_seven_days(plane: Plane) -> None:
    await post(plane, EVENTS, [{"type": "a"}])
    plane.skip(KEPT_SECONDS - 5)
    await post(plane, EVENTS, [{"type": "a"}])
    assert await events(plane) == 1
    plane.skip(10)
    await post(plane, EVENTS, [{"type": "a"}])
    assert await events(plane) == 2


async def test_keeping_one_answer_forgets_only_those_that_are_too_old(plane: Plane) -> None:
    await post(plane, EVENTS, [], "first")
    plane.skip(60)
    await post(plane, EVENTS, [], "second")
    plane.skip(KEPT_SECONDS - 30)
    await post(plane, EVENTS, [], "third")
    kept = await plane.service.db.read(lambda conn: [row["key"] for row in conn.execute("SELECT key FROM idempotency")])
    assert sorted(kept) == ["second", "third"]


async def test_a_key_outlives_a_restart(start: Any, tmp_path: Any) -> None:
    for _ in range(2):
        plane = await start(database=str(tmp_path / "cp.db"))
        assert (await post(plane, EVENTS, [{"type": "a"}])).json == {"ingested": 1}
        assert await events(plane) == 1


async def test_a_refusal_stays_even_after_the_body_was_mended(plane: Plane) -> None:
    bad = await post(plane, ENTRIES, {"jti": "x"})
    mended = await post(plane, ENTRIES, {"jti": str(uuid4())})
    assert (bad.status, mended.status) == (400, 400)
    assert mended.json == {"error": "jti must be a UUID", "code": "JTI_INVALID"}


async def test_what_is_no_json_too_large_broken_or_unauthorized_is_not_kept(plane: Plane) -> None:
    refused = [
        await plane.ask("POST", EVENTS, raw="{", Idempotency_Key="k"),
        await post(plane, EVENTS, [{}] * 501),
        await post(plane, EVENTS, {"events": "text"}),
        await post(plane, EVENTS, [], Authorization="Bearer wrong"),
    ]
    assert [answer.status for answer in refused] == [400, 413, 500, 401]
    assert (await post(plane, EVENTS, [{"type": "a"}])).json == {"ingested": 1}


async def test_simultaneous_requests_with_one_key_all_run(plane: Plane) -> None:
    answers = await asyncio.gather(*[post(plane, EVENTS, [{"type": "a"}]) for _ in range(4)])
    assert [answer.json for answer in answers] == [{"ingested": 1}] * 4
    assert await events(plane) == 4
    assert not any("Idempotency-Replayed" in answer.headers for answer in answers)


async def test_first_answers_whose_keys_storing_reorders_claim_to_be_replays(plane: Plane) -> None:
    first = await post(plane, ENTRIES, {"jti": str(uuid4()), "reason": "why"})
    assert first.headers["Idempotency-Replayed"] == "true"
    assert list(json.loads(first.body)) == ["jti", "reason", "revokedAt"]
    assert (await plane.ask("GET", "/api/events/history?type=tct.revoked")).json["count"] == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"], ids=["empty", "long", "control"])
async def test_a_key_has_1_to_255_printable_characters(plane: Plane, key: str) -> None:
    refused = await post(plane, EVENTS, [{"type": "a"}], key)
    assert (refused.status, refused.json["code"]) == (400, "IDEMPOTENCY_KEY_INVALID")
    assert (await post(plane, EVENTS, [{"type": "a"}], "x" * 255)).status == 200


async def test_registering_looks_the_key_up_before_the_token(plane: Plane) -> None:
    _, text = manifest()
    first = await plane.register(text, await plane.enroll(text), Idempotency_Key="k")
    again = await plane.register("nonsense", "no token", Idempotency_Key="k")
    assert (again.status, again.json) == (201, first.json)


async def test_a_planted_refusal_meets_the_honest_register(plane: Plane) -> None:
    _, text = manifest()
    planted = await plane.register("[]", await plane.enroll(text), Idempotency_Key="k")
    honest = await plane.register(text, await plane.enroll(text), Idempotency_Key="k")
    assert (planted.status, honest.status) == (400, 400)


async def test_other_methods_and_routes_know_no_keys(plane: Plane) -> None:
    aid, text = manifest()
    await plane.register(text, await plane.enroll(text))
    for _ in range(2):
        assert (await plane.ask("DELETE", f"/api/registry/agents/{aid}", Idempotency_Key="k")).status == 200
    assert (await plane.ask("GET", "/api/events/history?type=agent.deregistered")).json["count"] == 2
