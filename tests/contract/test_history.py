"""GET /api/events/history: filters, order, pages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.wire import POSTGRES_TIME, ControlPlane


def at(second: int, **fields: Any) -> dict[str, Any]:
    """An event of a known moment."""
    return {"type": "demo", "ts": f"2026-11-22T15:00:{second:02}Z", "payload": {"n": second}, **fields}


def numbers(rows: list[dict[str, Any]]) -> list[int]:
    return [row["payload"]["n"] for row in rows]


async def test_the_newest_moment_comes_first(cp: ControlPlane, unique: str) -> None:
    await cp.ingest(*(at(second, run_id=unique) for second in (2, 5, 1)))

    assert numbers(await cp.history(runId=unique)) == [5, 2, 1]


async def test_events_of_one_moment_come_in_the_order_of_insertion(cp: ControlPlane, unique: str) -> None:
    await cp.ingest(*({**at(0, run_id=unique), "payload": {"n": n}} for n in range(8)))

    assert numbers(await cp.history(runId=unique)) == list(range(8))


@pytest.mark.parametrize("name", ["runId", "run_id"])
async def test_runs_are_told_apart(cp: ControlPlane, unique: str, name: str) -> None:
    await cp.ingest(at(1, run_id=unique), at(2, run_id=unique + "-other"))

    assert numbers(await cp.history(**{name: unique})) == [1]


@pytest.mark.parametrize("name", ["sessionId", "session_id"])
async def test_sessions_are_told_apart(cp: ControlPlane, unique: str, name: str) -> None:
    await cp.ingest(at(1, session_id=unique), at(2, session_id=unique + "-other"))

    assert numbers(await cp.history(**{name: unique})) == [1]


async def test_an_aid_is_found_on_either_side(cp: ControlPlane, unique: str) -> None:
    await cp.ingest(at(1, aid_a=unique), at(2, aid_b=unique), at(3, aid_a="x", aid_b="y"))

    assert numbers(await cp.history(aid=unique)) == [2, 1]


async def test_there_is_no_filter_by_source_or_id(cp: ControlPlane, unique: str) -> None:
    await cp.ingest(at(1, run_id=unique, source="mine"), at(2, run_id=unique, source="yours"))

    assert len(await cp.history(runId=unique, source="mine")) == 2
    assert len(await cp.history(runId=unique, id="00000000-0000-4000-8000-000000000000")) == 2


async def test_since_and_until_include_their_moment(cp: ControlPlane, unique: str) -> None:
    await cp.ingest(*(at(second, run_id=unique) for second in range(1, 6)))

    found = await cp.history(runId=unique, since="2026-11-22T15:00:02Z", until="2026-11-22 15:00:04+00")

    assert numbers(found) == [4, 3, 2]


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize("value", ["1795362518", "1795362518796", "soon"])
async def test_a_bound_that_is_no_date_text_is_refused(cp: ControlPlane, name: str, value: str) -> None:
    assert (await cp.get("/api/events/history", **{name: value})).refusal() == (400, "FILTER_INVALID")


@pytest.mark.parametrize(("limit", "found"), [("3", 3), ("0", 1), ("many", 100), ("", 1), ("5000", 105)])
async def test_a_limit_is_held_within_its_bounds(cp: ControlPlane, unique: str, limit: str, found: int) -> None:
    await cp.ingest(*(at(0, run_id=unique) for _ in range(105)))

    assert len(await cp.history(runId=unique, limit=limit)) == found


async def test_no_page_is_longer_than_a_thousand(cp: ControlPlane, unique: str) -> None:
    for _ in range(3):
        await cp.ingest(*({"type": "demo", "run_id": unique, "payload": {}} for _ in range(350)))

    assert len(await cp.history(runId=unique, limit=2000)) == 1000


async def test_pages_follow_one_another(cp: ControlPlane, unique: str) -> None:
    await cp.ingest(*(at(second, run_id=unique) for second in range(10)))

    pages = [await cp.history(runId=unique, limit=4, offset=offset) for offset in (0, 4, 8, 12)]

    assert [numbers(page) for page in pages] == [[9, 8, 7, 6], [5, 4, 3, 2], [1, 0], []]


async def test_rows_show_postgres_times(cp: ControlPlane, unique: str) -> None:
    await cp.ingest(at(1, run_id=unique))

    (row,) = await cp.history(runId=unique)
    assert row["ts"] == "2026-11-22 15:00:01+00"
    assert POSTGRES_TIME.fullmatch(row["createdAt"])
