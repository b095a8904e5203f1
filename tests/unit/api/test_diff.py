"""Two runs are compared over HTTP when both are over; what it costs is bounded."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from aitp_playground.api import diff
from aitp_playground.events.codec import decode
from aitp_playground.events.vocabulary import AGENT_TYPES
from aitp_playground.store.port import RunStatus, StoredEvent
from tests.support.made_logs import Event, MadeLog, find, made_log
from tests.support.odd_values import ODD

from .conftest import Client, Connect
from .memory import MemoryDirectory


def add(directory: MemoryDirectory, run_id: str, log: MadeLog, status: RunStatus = "success") -> str:
    directory.add(run_id, status=status)
    events = [decode(body) for body in log.bodies()]
    entries = zip(events, log.bodies(), strict=True)
    directory.logs[run_id] = [StoredEvent(event.seq, event.type, event.ts, body) for event, body in entries]
    directory._set(run_id, event_count=len(events))
    return run_id


def refused(log: MadeLog) -> MadeLog:
    return log.changed(lambda all_: all_[find(all_, "capability.denied")]["payload"].update(code="tct_revoked"))


async def told(client: Client, path: str, status: int = 200) -> Any:
    response = await client.get(path)
    assert response.status == status, await response.text()
    return await response.json()


async def test_runs_in_which_the_same_happened_are_equal(client: Client, directory: MemoryDirectory) -> None:
    add(directory, "one", made_log(1, 1))
    add(directory, "other", made_log(2, 2))
    answer = await told(client, "/runs/one/diff/other")
    assert (answer["a"]["run_id"], answer["b"]["run_id"]) == ("one", "other")
    assert answer["a"]["scenario_ref"] == "demo/first@1"
    rest = {name: value for name, value in answer.items() if name not in {"a", "b"}}
    assert rest == {"equal": True, "exact": True, "run": [], "steps": [], "end": None}
    assert (await told(client, "/runs/one/diff/one"))["equal"] is True


async def test_what_differs_is_told_with_its_step_emitter_field_and_values(
    client: Client, directory: MemoryDirectory
) -> None:
    add(directory, "one", made_log(1))
    add(directory, "other", refused(made_log(2)))
    answer = await told(client, "/runs/one/diff/other")
    assert answer["equal"] is False
    (step,) = answer["steps"]
    (event,) = step["events"]
    assert (step["step"], event["by"]) == ("refuse", "writer")
    assert event["fields"] == [{"path": "payload.code", "a": "tct_missing", "b": "tct_revoked"}]


async def test_what_the_runs_were_given_is_compared_too(client: Client, directory: MemoryDirectory) -> None:
    for run_id in ("one", "other"):
        add(directory, run_id, made_log())
    row = directory.rows["other"]
    header = dataclasses.replace(row.header, inputs={"topic": "y"}, template="strict", fault_injection={"k": ["w"]})
    directory.rows["other"] = dataclasses.replace(row, header=header)
    assert (await told(client, "/runs/one/diff/other"))["run"] == [
        {"path": "template", "a": None, "b": "strict"},
        {"path": "inputs.topic", "a": "x", "b": "y"},
        {"path": "faults.k", "b": ["w"]},
    ]


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
async def test_nothing_that_an_agent_says_makes_it_fail(client: Client, directory: MemoryDirectory, value: Any) -> None:
    claims = {"iss": "aid:pubkey:x", "sub": "aid:pubkey:y", "jti": value, "cnf": value, "exp": value, "iat": value}
    payload = {**claims, "issuer": value, "tcts": [claims], "peer": value, "port": value, "ms": value}

    def say(events: list[Event]) -> None:
        events[2:2] = [
            {"type": event_type, "agent_id": "writer", "payload": payload} for event_type in sorted(AGENT_TYPES)
        ]

    add(directory, "one", made_log())
    add(directory, "other", made_log().changed(say))
    for path in ("/runs/one/diff/other", "/runs/other/diff/other", "/runs/other/diff/one"):
        answer = await told(client, path)
        assert answer["equal"] is (path == "/runs/other/diff/other")


async def test_what_may_as_well_not_have_come_counts_when_it_is_asked_for(
    client: Client, directory: MemoryDirectory
) -> None:
    add(directory, "one", made_log(1))
    add(directory, "other", made_log(2).changed(lambda all_: all_.pop(find(all_, "llm.complete")) and None))
    assert (await told(client, "/runs/one/diff/other"))["equal"] is True
    assert (await told(client, "/runs/one/diff/other?volatile=true"))["equal"] is False
    assert (await client.get("/runs/one/diff/other?volatiel=true")).status == 422


@pytest.mark.parametrize(
    ("path", "unknown"),
    [
        ("/runs/one/diff/nobody", ["nobody"]),
        ("/runs/nobody/diff/one", ["nobody"]),
        ("/runs/nobody/diff/nothing", ["nobody", "nothing"]),
        ("/runs/nobody/diff/nobody", ["nobody"]),
    ],
)
async def test_an_unknown_run_is_404_and_named(
    client: Client, directory: MemoryDirectory, path: str, unknown: list[str]
) -> None:
    add(directory, "one", made_log())
    error = (await told(client, path, 404))["error"]
    assert error["code"] == "run_not_found"
    assert error["details"] == {"unknown": unknown}
    assert all(repr(run_id) in error["message"] for run_id in unknown)


async def test_what_cannot_be_a_runs_id_is_404(client: Client, directory: MemoryDirectory) -> None:
    add(directory, "one", made_log())
    assert (await told(client, "/runs/one/diff/a%20b", 404))["error"]["code"] == "run_not_found"
    assert (await told(client, "/runs/a.b/diff/one", 404))["error"]["code"] == "run_not_found"


@pytest.mark.parametrize("path", ["/runs/one/diff/going", "/runs/going/diff/one"])
async def test_a_run_that_goes_on_is_409_and_named(client: Client, directory: MemoryDirectory, path: str) -> None:
    add(directory, "one", made_log())
    add(directory, "going", made_log(), status="running")
    error = (await told(client, path, 409))["error"]
    assert error["code"] == "run_not_terminal"
    assert error["details"] == {"run_id": "going", "status": "running"}


async def test_a_run_that_is_too_long_is_refused(
    client: Client, directory: MemoryDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(directory, "one", made_log())
    monkeypatch.setattr(diff, "MOST_EVENTS", 10)
    error = (await told(client, "/runs/one/diff/one", 413))["error"]
    assert "at most 10 events" in error["message"]


async def test_so_many_wait_and_no_more(
    client: Client, directory: MemoryDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(directory, "one", made_log())
    begun, go_on = asyncio.Event(), asyncio.Event()
    read = diff._log

    async def slow(*args: Any) -> Any:
        begun.set()
        await go_on.wait()
        return await read(*args)

    monkeypatch.setattr(diff, "_log", slow)
    asked = [asyncio.create_task(client.get("/runs/one/diff/one")) for _ in range(diff.MOST_WAITING + 3)]
    await begun.wait()
    done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    assert {(one.result().status, one.result().headers["Retry-After"]) for one in done} == {(503, "5")}
    go_on.set()
    statuses = sorted([(await one).status for one in asked])
    assert statuses == [200] * (diff.MOST_WAITING + 1) + [503] * 2


async def test_it_wants_a_key_as_other_routes_of_runs_do(connect: Connect, directory: MemoryDirectory) -> None:
    add(directory, "one", made_log())
    client = await connect(keys=["k" * 20])
    assert (await client.get("/runs/one/diff/one")).status == 401
    allowed = await client.get("/runs/one/diff/one", headers={"Authorization": f"Bearer {'k' * 20}"})
    assert allowed.status == 200
