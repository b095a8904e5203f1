"""Runs over HTTP: created once, paged, polled cheaply, shown as stored."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import ClientPayloadError

from aitp_playground.errors import RunNotTerminal, StoreUnavailable
from aitp_playground.observability.metrics import Metrics

from .conftest import Client
from .memory import MemoryDirectory

GOOD = {"scenario_ref": "demo/first@1", "run_label": "mine"}
RUN_KEYS = {
    "run_id",
    "status",
    "proof",
    "unproven_because",
    "fault_injection",
    "scenario_digest",
    "scenario_ref",
    "run_label",
    "template",
    "inputs",
    "outputs",
    "events",
    "error",
    "created_at",
    "finished_at",
}


async def test_a_created_run_is_202_with_its_address(client: Client) -> None:
    response = await client.post("/runs", json=GOOD)
    assert response.status == 202
    assert response.headers["Location"] == "/runs/run-1"
    assert await response.json() == {"run_id": "run-1", "status": "pending", **GOOD}
    assert (await client.get(response.headers["Location"])).status == 200


@pytest.mark.parametrize(
    "ref", ["nope", "a/b", "a@1", "../../etc@1", "A/b@1", "a/b@1\n", "a/b/c@1", "/b@1", "a/b@1/.."]
)
async def test_what_cannot_be_a_ref_is_no_scenario(client: Client, directory: MemoryDirectory, ref: str) -> None:
    response = await client.post("/runs", json={"scenario_ref": ref})
    assert response.status == 404
    assert (await response.json())["error"]["code"] == "scenario_not_found"
    assert directory.submitted == []


async def test_a_repeated_idempotency_key_answers_with_the_earlier_run(client: Client, metrics: Metrics) -> None:
    headers = {"Idempotency-Key": "order 66!"}
    first = await client.post("/runs", json=GOOD, headers=headers)
    again = await client.post("/runs", json=GOOD, headers=headers)
    assert (first.status, again.status) == (202, 202)
    assert await first.json() == await again.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert b"aitp_playground_idempotent_replays_total 1.0" in metrics.render()


async def test_an_idempotency_key_with_another_body_is_422(client: Client, directory: MemoryDirectory) -> None:
    headers = {"Idempotency-Key": "k"}
    await client.post("/runs", json=GOOD, headers=headers)
    response = await client.post("/runs", json={**GOOD, "run_label": "other"}, headers=headers)
    assert response.status == 422
    assert len(directory.submitted) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\tbed", "caf\u00e9"])
async def test_a_malformed_idempotency_key_is_422(client: Client, directory: MemoryDirectory, key: str) -> None:
    response = await client.post("/runs", json=GOOD, headers={"Idempotency-Key": key})
    assert response.status == 422
    assert directory.submitted == []


async def test_a_key_of_255_characters_is_taken(client: Client, directory: MemoryDirectory) -> None:
    await client.post("/runs", json=GOOD, headers={"Idempotency-Key": "x" * 255})
    assert directory.submitted[0].idempotency_key == "x" * 255


async def test_two_idempotency_keys_are_422(client: Client) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert (await client.post("/runs", json=GOOD, headers=headers)).status == 422


async def test_runs_page_newest_first_and_the_last_page_has_no_next(client: Client, directory: MemoryDirectory) -> None:
    for n in range(5):
        directory.add(f"run-{n}", events=n)
    seen: list[str] = []
    query: dict[str, str] = {"limit": "2"}
    pages = 0
    while True:
        page = await (await client.get("/runs", params=query)).json()
        pages += 1
        seen += [run["run_id"] for run in page["runs"]]
        if "next" not in page:
            break
        query["before"] = page["next"]
    assert (seen, pages) == ([f"run-{n}" for n in (4, 3, 2, 1, 0)], 3)


async def test_a_line_of_the_list_has_what_a_table_needs(client: Client, directory: MemoryDirectory) -> None:
    directory.add(events=3)
    (line,) = (await (await client.get("/runs")).json())["runs"]
    assert line == {
        "run_id": "run-1",
        "status": "running",
        "proof": None,
        "scenario_ref": "demo/first@1",
        "run_label": None,
        "created_at": 1.5,
        "event_count": 3,
    }


async def test_list_parameters_reach_the_directory(client: Client, directory: MemoryDirectory) -> None:
    await client.get("/runs?limit=1000&before=7&status=failed&scenario_ref=a/b@1")
    await client.get("/runs")
    assert directory.listed == [
        {"limit": 1000, "before": "7", "status": "failed", "scenario_ref": "a/b@1"},
        {"limit": 100, "before": None, "status": None, "scenario_ref": None},
    ]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=ten",
        "limit=1.5",
        "limit=",
        "limit=%D9%A1",
        "limit=1_0",
        "limit=%201",
        "limit=99999999999999999999",
        "status=done",
        "status=",
        "before=",
        "scenario_ref=",
        f"before={'x' * 513}",
    ],
)
async def test_a_wrong_list_parameter_is_422_and_named(client: Client, query: str) -> None:
    response = await client.get(f"/runs?{query}")
    error = (await response.json())["error"]
    assert (response.status, error["code"]) == (422, "invalid_request")
    assert error["details"][0]["parameter"] == query.partition("=")[0]


async def test_a_run_shows_every_documented_key(client: Client, directory: MemoryDirectory) -> None:
    directory.add(events=3)
    run = await (await client.get("/runs/run-1")).json()
    assert set(run) == RUN_KEYS
    assert [event["seq"] for event in run["events"]] == [1, 2, 3]
    assert run["outputs"] == {"first": {"n": 1}}
    assert (run["inputs"], run["proof"], run["finished_at"]) == ({"topic": "x"}, None, None)


async def test_stored_bytes_are_passed_on_as_they_are(client: Client, directory: MemoryDirectory) -> None:
    directory.add(events=2)
    text = await (await client.get("/runs/run-1")).read()
    stored = b",".join(event.body for event in directory.logs["run-1"])
    assert b'"events":[' + stored + b"]" in text


async def test_a_log_larger_than_a_page_is_the_same_document_in_pieces(
    client: Client, directory: MemoryDirectory
) -> None:
    directory.add(events=100, size=20_000)
    response = await client.get("/runs/run-1")
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert response.headers["ETag"].startswith("W/")
    run = await response.json()
    assert set(run) == RUN_KEYS
    assert [event["seq"] for event in run["events"]] == list(range(1, 101))
    tag = response.headers["ETag"]
    assert (await client.get("/runs/run-1", headers={"If-None-Match": tag})).status == 304
    assert (await client.head("/runs/run-1")).status == 200


async def test_a_log_that_cannot_be_read_to_its_end_is_cut_and_not_taken_for_whole(
    client: Client, directory: MemoryDirectory
) -> None:
    directory.add(events=100, size=100_000)
    directory.page_fault = StoreUnavailable("the disk is gone")
    with pytest.raises(ClientPayloadError):
        await (await client.get("/runs/run-1")).read()


async def test_a_log_that_cannot_be_read_at_all_is_refused(client: Client, directory: MemoryDirectory) -> None:
    directory.add(events=10)
    directory.page_fault = StoreUnavailable("the disk is gone")
    assert (await client.get("/runs/run-1")).status == 503


async def test_a_run_can_be_asked_for_without_events(client: Client, directory: MemoryDirectory) -> None:
    directory.add(events=3)
    run = await (await client.get("/runs/run-1?events=false")).json()
    assert (set(run), run["events"]) == (RUN_KEYS, [])


async def test_events_page_by_seq(client: Client, directory: MemoryDirectory) -> None:
    directory.add(events=5)
    page = await (await client.get("/runs/run-1?after=1&limit=3")).json()
    assert ([event["seq"] for event in page["events"]], page["next"]) == ([2, 3, 4], "4")
    last = await (await client.get(f"/runs/run-1?after={page['next']}&limit=3")).json()
    assert [event["seq"] for event in last["events"]] == [5]
    assert "next" not in last


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "limit=0", "limit=1001", "events=maybe", "after=9" + "0" * 16]
)
async def test_a_wrong_run_parameter_is_422(client: Client, directory: MemoryDirectory, query: str) -> None:
    directory.add()
    assert (await client.get(f"/runs/run-1?{query}")).status == 422


async def test_an_unchanged_run_is_304_without_reading_its_events(client: Client, directory: MemoryDirectory) -> None:
    directory.add(events=2)
    first = await client.get("/runs/run-1")
    tag = first.headers["ETag"]
    assert tag.startswith('W/"')
    assert first.headers["Cache-Control"] == "private, no-cache"
    for header in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = await client.get("/runs/run-1", headers={"If-None-Match": header})
        assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", tag)
    assert directory.views == 1


@pytest.mark.parametrize("path", ["/runs/run-1?events=false", "/runs/run-1?after=1", "/runs/run-1?limit=1"])
async def test_another_question_has_another_etag(client: Client, directory: MemoryDirectory, path: str) -> None:
    directory.add(events=2)
    tag = (await client.get("/runs/run-1")).headers["ETag"]
    assert (await client.get(path, headers={"If-None-Match": tag})).status == 200


async def test_every_event_and_every_status_changes_the_etag(client: Client, directory: MemoryDirectory) -> None:
    directory.add(events=2)
    tags = {(await client.get("/runs/run-1")).headers["ETag"]}
    await directory.record("run-1")
    tags.add((await client.get("/runs/run-1")).headers["ETag"])
    await client.post("/runs/run-1/cancel")
    tags.add((await client.get("/runs/run-1")).headers["ETag"])
    assert len(tags) == 3


async def test_an_etag_that_is_none_of_ours_gets_the_run(client: Client, directory: MemoryDirectory) -> None:
    directory.add()
    for header in ('"nonsense"', "nonsense", 'W/"', ""):
        assert (await client.get("/runs/run-1", headers={"If-None-Match": header})).status == 200


async def test_the_status_is_small(client: Client, directory: MemoryDirectory) -> None:
    directory.add(events=4)
    status = await (await client.get("/runs/run-1/status")).json()
    assert status == {"run_id": "run-1", "status": "running", "event_count": 4, "created_at": 1.5}
    assert directory.views == 0


async def test_a_run_is_told_as_plain_text(client: Client, directory: MemoryDirectory) -> None:
    directory.add()
    await directory.end("run-1")
    response = await client.get("/runs/run-1/narrate")
    lines = (await response.text()).splitlines()
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert len(lines) == 2
    assert lines[-1].startswith("run success")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/status"),
        ("GET", "/narrate"),
        ("GET", "/events"),
        ("HEAD", "/events"),
        ("POST", "/cancel"),
        ("DELETE", ""),
        ("GET", "/agents/writer/log"),
    ],
)
@pytest.mark.parametrize("run_id", ["missing", "%2e%2e%2fetc", "a%00b", "x" * 65, "%ff", "ümlaut"])
async def test_an_unknown_run_is_404_everywhere(client: Client, method: str, path: str, run_id: str) -> None:
    response = await client.request(method, f"/runs/{run_id}{path}")
    assert response.status == 404
    if method != "HEAD":
        assert (await response.json())["error"]["code"] == "run_not_found"


async def test_cancel_says_what_became_of_the_run(client: Client, directory: MemoryDirectory) -> None:
    directory.add()
    first = await client.post("/runs/run-1/cancel")
    assert (first.status, await first.json()) == (202, {"run_id": "run-1", "status": "cancelled", "cancelled": True})
    again = await client.post("/runs/run-1/cancel")
    assert again.status == 202
    assert await again.json() == {
        "run_id": "run-1",
        "status": "cancelled",
        "cancelled": False,
        "reason": "already terminal",
    }


async def test_only_a_finished_run_is_deleted(client: Client, directory: MemoryDirectory) -> None:
    directory.add()
    refused = await client.delete("/runs/run-1")
    assert (refused.status, (await refused.json())["error"]["code"]) == (409, RunNotTerminal.code)
    await directory.end("run-1")
    gone = await client.delete("/runs/run-1")
    assert (gone.status, await gone.read()) == (204, b"")
    assert (await client.get("/runs/run-1")).status == 404


async def test_a_worker_log_is_inert_text(client: Client, directory: MemoryDirectory) -> None:
    directory.add()
    response = await client.get("/runs/run-1/agents/writer/log")
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert await response.text() == "<b>started</b> ?\n"
    assert (await client.get("/runs/run-1/agents/nobody/log")).status == 404


async def test_agents_are_listed_with_every_key(client: Client) -> None:
    agents: dict[str, Any] = json.loads(await (await client.get("/agents")).text())
    assert set(agents["agents"][0]) == {
        "run_id",
        "agent_id",
        "port",
        "pid",
        "aid",
        "manifest_url",
        "status",
        "exit_code",
    }
