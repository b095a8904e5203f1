"""What the log says of an outage, and what it never says."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from . import rogue as ways
from .conftest import API_KEY, Clock, MakeClient
from .operations import CP, JTI, OPERATIONS
from .rogue import Rogue, in_turn, refusing, says


def of(lines: list[Any], event: str) -> list[Any]:
    return [line for line in lines if line["event"] == f"cp_client.{event}"]


async def test_a_reason_is_said_once_however_many_calls_meet_it(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = says(b"", 500)
    client = make_client(rogue.url)
    with capture_logs() as lines:
        for _ in range(5):
            await client.fetch_tcts()
            await client.fetch_sessions()
            await client.publish_revocation(JTI)
    (line,) = of(lines, "degraded")
    assert (line["reason"], line["status"], line["operation"]) == ("http_5xx", 500, "fetch_tcts")


async def test_another_reason_is_said_again_and_so_is_the_recovery(rogue: Rogue, make_client: MakeClient) -> None:
    bad, worse, well = says(b"", 500), says(b"", 401), says({"tcts": []})
    rogue.behaviour = in_turn(bad, bad, worse, worse, well, well, bad)
    client = make_client(rogue.url)
    with capture_logs() as lines:
        for _ in range(7):
            await client.fetch_tcts()
    assert [line["reason"] for line in of(lines, "degraded")] == ["http_5xx", "unauthorized", "http_5xx"]
    assert len(of(lines, "recovered")) == 1


async def test_one_route_that_fails_among_others_that_do_not_is_said_once(
    rogue: Rogue, make_client: MakeClient
) -> None:
    rogue.route("GET", "/api/tcts", says(b"", 500))
    client = make_client(rogue.url)
    with capture_logs() as lines:
        for _ in range(4):
            await client.fetch_tcts()
            await client.fetch_sessions()
    assert len(of(lines, "degraded")) == 1
    assert client.trouble == "http_5xx"


async def test_an_outage_with_open_circuit_is_three_lines(make_client: MakeClient) -> None:
    with refusing() as url, capture_logs() as lines:
        client = make_client(url)
        for operation in OPERATIONS:
            await operation.plain(client)
    assert [(line["event"], line["reason"]) for line in lines] == [
        ("cp_client.degraded", "refused"),
        ("cp_client.breaker_opened", "refused"),
        ("cp_client.degraded", "breaker_open"),
    ]


async def test_after_the_circuit_closed_trouble_is_over_and_new_trouble_is_said(
    rogue: Rogue, make_client: MakeClient, clock: Clock
) -> None:
    rogue.behaviour = ways.black_hole
    rogue.route("GET", "/api/health", says({"ok": True}))
    back = asyncio.Event()
    client = make_client(
        rogue.url, cp_timeout_ms=1000, hooks={"on_state": lambda now: back.set() if now == "closed" else None}
    )
    with capture_logs() as lines:
        for _ in range(2):
            await client.fetch_tcts()
            await client.fetch_sessions()
            back.clear()
            await clock.wake()
            await back.wait()
            assert client.trouble is None
    assert [line["reason"] for line in of(lines, "degraded")] == ["timeout", "breaker_open"] * 2


async def test_every_end_of_a_call_is_observed_by_its_class(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = in_turn(says(b"", 500), says({"tcts": []}))
    seen: list[tuple[str, str | None]] = []
    client = make_client(rogue.url, hooks={"on_outcome": lambda name, reason: seen.append((name, reason))})
    await client.fetch_tcts()
    await client.fetch_tcts()
    assert seen == [("fetch_tcts", "http_5xx"), ("fetch_tcts", None)]


@pytest.mark.parametrize(
    "behaviour",
    [
        says(b"", 500),
        says({"error": "no"}, 400),
        says(ways.HTML, 200, "text/html"),
        says({"secret": "hush-hush-hush"}),
        says({"id": "x", "secret": "hush-hush-hush"}, 201),
        ways.hangs_up,
    ],
)
async def test_neither_the_key_nor_a_secret_is_logged_or_handed_back(
    behaviour: Any, rogue: Rogue, make_client: MakeClient
) -> None:
    rogue.behaviour = behaviour
    client = make_client(rogue.url, cp_aid=CP.aid)
    with capture_logs() as lines:
        outcome = await client.create_webhook.outcome("http://h/x", ["tct.revoked"], "hush-hush-hush")
        for operation in OPERATIONS:
            await operation.outcome(client)
    told = json.dumps([lines, repr(outcome), repr(client)], default=repr)
    assert "hush-hush-hush" not in told
    assert API_KEY not in told
