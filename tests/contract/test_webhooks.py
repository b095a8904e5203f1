"""Webhooks as a resource: what a subscription shows, takes and hides."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.wire import POSTGRES_TIME, UUID, ControlPlane

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def url(unique: str) -> str:
    """Nobody listens there."""
    return f"http://127.0.0.1:9/{unique}"


@pytest.fixture
async def hook(cp: ControlPlane, url: str) -> AsyncIterator[dict[str, Any]]:
    """A subscription to something that never happens."""
    made = await subscribed(cp, url, events=["never"])
    yield made
    await cp.delete(f"/api/webhooks/{made['id']}")


async def subscribed(cp: ControlPlane, url: str, **fields: Any) -> dict[str, Any]:
    """A new subscription; skips where loopback receivers are refused, which is a right answer too."""
    answer = await cp.post("/api/webhooks", {"url": url, **fields})
    if answer.status == 400 and answer.refusal()[1] == "URL_NOT_ALLOWED":
        pytest.skip("this Control Plane takes no webhooks to loopback addresses")
    made: dict[str, Any] = answer.json(201)
    return made


async def listed(cp: ControlPlane, hook_id: str) -> list[dict[str, Any]]:
    rows = (await cp.get("/api/webhooks")).json()["webhooks"]
    return [row for row in rows if row["id"] == hook_id]


async def test_only_the_first_answer_shows_the_secret(cp: ControlPlane, hook: dict[str, Any], url: str) -> None:
    assert hook.keys() == {"id", "url", "events", "secret", "active", "createdAt"}
    assert (hook["url"], hook["events"], hook["active"]) == (url, ["never"], True)
    assert re.fullmatch(r"[0-9a-f]{32}", hook["secret"])
    assert UUID.fullmatch(hook["id"])

    (row,) = await listed(cp, hook["id"])
    assert row.keys() == {"id", "url", "events", "active", "createdAt", "updatedAt"}
    assert POSTGRES_TIME.fullmatch(row["createdAt"])


async def test_ones_own_secret_is_taken(cp: ControlPlane, url: str) -> None:
    made = await subscribed(cp, url, secret="s3cret ☃", events=["never"])
    await cp.delete(f"/api/webhooks/{made['id']}")

    assert made["secret"] == "s3cret ☃"


async def test_a_secret_over_255_letters_is_an_empty_500(cp: ControlPlane, url: str) -> None:
    answer = await cp.post("/api/webhooks", {"url": url, "secret": "s" * 256})

    if answer.status != 400:
        assert (answer.status, answer.body) == (500, b"")


async def test_event_names_that_are_no_texts_are_dropped(cp: ControlPlane, url: str) -> None:
    made = await subscribed(cp, url, events=["never", 7, None, "ever"], active=False)
    await cp.delete(f"/api/webhooks/{made['id']}")

    assert (made["events"], made["active"]) == (["never", "ever"], False)


async def test_the_same_address_twice_is_two_subscriptions(cp: ControlPlane, hook: dict[str, Any], url: str) -> None:
    second = await subscribed(cp, url, events=["never"])
    await cp.delete(f"/api/webhooks/{second['id']}")

    assert second["id"] != hook["id"]


async def test_a_patch_changes_what_it_names(cp: ControlPlane, hook: dict[str, Any], url: str) -> None:
    changes = {"url": url + "/new", "events": ["other"], "active": False, "secret": "new"}

    told = (await cp.patch(f"/api/webhooks/{hook['id']}", changes)).json()

    assert told.keys() == {"id", "url", "events", "active", "updatedAt"}
    assert (told["url"], told["events"], told["active"]) == (url + "/new", ["other"], False)


async def test_a_patch_of_the_wrong_type_is_ignored(cp: ControlPlane, hook: dict[str, Any], url: str) -> None:
    told = (await cp.patch(f"/api/webhooks/{hook['id']}", {"url": 7, "events": "x", "active": "no"})).json()

    assert (told["url"], told["events"], told["active"]) == (url, ["never"], True)


async def test_a_deletion_is_told_once(cp: ControlPlane, url: str) -> None:
    made = await subscribed(cp, url, events=["never"])

    assert (await cp.delete(f"/api/webhooks/{made['id']}")).json() == {"id": made["id"], "deleted": True}
    assert (await cp.delete(f"/api/webhooks/{made['id']}")).refusal()[0] == 404
    assert await listed(cp, made["id"]) == []


async def test_an_id_nobody_has_is_not_found_and_one_that_is_no_uuid_breaks(cp: ControlPlane) -> None:
    assert (await cp.patch(f"/api/webhooks/{UNKNOWN}", {"active": False})).refusal()[0] == 404
    assert (await cp.delete(f"/api/webhooks/{UNKNOWN}")).refusal()[0] == 404

    broken = await cp.delete("/api/webhooks/nonsense")
    assert (broken.status, broken.body) == (500, b"")


async def test_a_breaker_starts_closed_even_for_ids_nobody_has(cp: ControlPlane, hook: dict[str, Any]) -> None:
    closed = {"state": "closed", "failures": 0, "consecutiveSuccesses": 0, "openedAt": None, "nextProbeAt": None}

    for hook_id in (hook["id"], UNKNOWN):
        assert (await cp.get(f"/api/webhooks/{hook_id}/circuit-breaker")).json() == closed
    assert (await cp.post(f"/api/webhooks/{hook['id']}/circuit-breaker/reset")).status == 200
