"""The stock limits, when they are asked for."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from aitp_playground.control_plane.middlewares import rate_limits
from aitp_playground.control_plane.middlewares.rate_limits import RateLimits
from aitp_playground.control_plane.wire.answers import CALLER
from aitp_playground.control_plane.wire.errors import Refused
from tests.unit.control_plane.asking import Answer, Plane

ENROLL = "/api/registry/enroll"


async def limited(start: Any) -> Plane:
    plane: Plane = await start(rate_limits=True, api_keys=("one", "two"))
    # From the beginning of a minute, and standing still.
    plane.service.clock = lambda: 1_795_362_600.0
    return plane


async def statuses(plane: Plane, count: int, *request: Any, **headers: str) -> tuple[set[int], Answer]:
    """The statuses of all but the last of ``count`` requests, and the last answer."""
    answers = [await plane.ask(*request, **headers) for _ in range(count)]
    return {answer.status for answer in answers[:-1]}, answers[-1]


async def test_the_sixth_enrolment_of_a_minute_is_one_too_many(start: Any) -> None:
    plane = await limited(start)
    before, last = await statuses(plane, 6, "POST", ENROLL, {})
    assert before == {400}
    assert (last.status, last.json["code"]) == (429, "RATE_LIMITED")
    assert 0 < int(last.headers["Retry-After"]) <= 61
    plane.skip(60)
    assert (await plane.ask("POST", ENROLL, {})).status == 400


async def test_public_requests_are_counted_by_address_and_others_by_key(start: Any) -> None:
    plane = await limited(start)
    before, last = await statuses(plane, 61, "GET", "/api/health")
    assert (before, last.status) == ({200}, 429)
    assert (await plane.ask("GET", "/api/pinned-keys")).status == 200
    assert (await plane.ask("GET", "/api/pinned-keys", Authorization="Bearer three")).status == 401
    assert (await plane.ask("GET", "/.well-known/aitp-revocation-list")).status == 200


def test_a_key_has_600_requests_a_minute_of_its_own() -> None:
    limits = RateLimits(lambda: 0.0)
    one, two = make_mocked_request("GET", "/api/sessions"), make_mocked_request("GET", "/api/tcts")
    one[CALLER], two[CALLER] = "apikey:1", "apikey:2"
    for _ in range(600):
        limits.check(one)
    limits.check(two)
    with pytest.raises(Refused) as refused:
        limits.check(one)
    assert refused.value.headers == {
        "Retry-After": "61",
        "X-RateLimit-Limit": "600",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "60",
    }
    assert refused.value.body["bucket"] == "key"


async def test_who_is_not_told_apart_by_a_proxy_shares_one_bucket(start: Any) -> None:
    plane = await limited(start)
    await statuses(plane, 61, "GET", "/api/health")
    shared = await plane.ask("GET", "/api/registry/agents")
    assert (shared.status, shared.json["bucket"]) == (429, "public")
    assert (await plane.ask("GET", "/api/health", X_Forwarded_For="192.0.2.7, 10.0.0.1")).status == 200


async def test_failed_keys_are_never_limited(start: Any) -> None:
    plane = await limited(start)
    before, last = await statuses(plane, 70, "GET", "/api/tcts", Authorization="Bearer wrong")
    assert before | {last.status} == {401}


async def test_addresses_that_a_proxy_header_makes_up_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "_MOST", 5)
    limits = RateLimits(lambda: 0.0)
    for number in range(50):
        limits.check(make_mocked_request("GET", "/api/health", headers={"X-Forwarded-For": f"192.0.2.{number}"}))
    assert len(limits._seen) <= 5


async def test_a_429_is_not_kept_for_its_key(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "PER_KEY", 0)
    plane = await limited(start)
    assert (await plane.ask("POST", "/api/events", [], Idempotency_Key="k")).status == 429
    monkeypatch.setattr(rate_limits, "PER_KEY", 600)
    assert (await plane.ask("POST", "/api/events", [], Idempotency_Key="k")).status == 200


async def test_without_asking_nobody_is_limited(plane: Plane) -> None:
    before, last = await statuses(plane, 70, "GET", "/api/health")
    assert before | {last.status} == {200}
