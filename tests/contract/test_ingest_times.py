"""What an event's ``ts`` becomes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.wire import POSTGRES_TIME, ControlPlane

AT = "2026-11-22 15:48:38"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (1795362518, f"{AT}+00"),
        (1795362518.796, f"{AT}.796+00"),
        (1795362518796, f"{AT}.796+00"),
        (1795362518000, f"{AT}+00"),
        (999_999_999_999, None),
        ("2026-11-22T15:48:38Z", f"{AT}+00"),
        ("2026-11-22T15:48:38.790Z", f"{AT}.79+00"),
        ("2026-11-22T15:48:38.796999Z", f"{AT}.796+00"),
        ("2026-11-22T17:48:38.796+02:00", f"{AT}.796+00"),
        ("2026-11-22 15:48:38.796+00", f"{AT}.796+00"),
        ("2026-11-22", "2026-11-22 00:00:00+00"),
    ],
    ids=str,
)
async def test_a_time_is_understood(cp: ControlPlane, unique: str, sent: Any, kept: str | None) -> None:
    answer = await cp.post("/api/events", [{"type": "demo", "run_id": unique, "ts": sent}])

    if kept is None:  # seconds, and past year 9999
        assert (answer.status, answer.body) == (500, b"")
        return
    assert answer.json() == {"ingested": 1}
    assert [row["ts"] for row in await cp.history(runId=unique)] == [kept]


@pytest.mark.parametrize("sent", [..., None, True, {"at": 1}, "soon", "", "1795362518", "1795362518796"], ids=str)
async def test_what_is_no_time_is_silently_the_time_of_ingest(cp: ControlPlane, unique: str, sent: Any) -> None:
    event = {"type": "demo", "run_id": unique} | ({} if sent is ... else {"ts": sent})
    await cp.ingest(event)

    (row,) = await cp.history(runId=unique)
    ts, created = (datetime.fromisoformat(row[name]) for name in ("ts", "createdAt"))
    assert abs(ts - created) < timedelta(seconds=30)


async def test_a_short_number_as_text_is_a_month_of_2001(cp: ControlPlane, unique: str) -> None:
    await cp.ingest({"type": "demo", "run_id": unique, "ts": "5"})

    assert [row["ts"] for row in await cp.history(runId=unique)] == ["2001-05-01 00:00:00+00"]


@pytest.mark.parametrize("sent", [1795362518796_000, 1795362518796_000_000, 253_402_300_800], ids=str)
async def test_a_time_beyond_the_year_9999_loses_the_whole_batch(cp: ControlPlane, unique: str, sent: int) -> None:
    batch = [{"type": "demo", "run_id": unique}, {"type": "demo", "run_id": unique, "ts": sent}]

    answer = await cp.post("/api/events", batch)

    assert (answer.status, answer.body) == (500, b"")
    assert await cp.history(runId=unique) == []


async def test_events_of_one_batch_without_time_share_a_moment(cp: ControlPlane, unique: str) -> None:
    await cp.ingest(*({"type": "demo", "run_id": unique} for _ in range(20)))

    times = {row["ts"] for row in await cp.history(runId=unique)}
    assert len(times) <= 2
    assert all(POSTGRES_TIME.fullmatch(ts) for ts in times)


async def test_times_read_in_either_dialect_are_the_same_moment(cp: ControlPlane, unique: str) -> None:
    await cp.ingest({"type": "demo", "run_id": unique, "ts": "2026-11-22T15:48:38.796Z"})
    (row,) = await cp.history(runId=unique)

    assert datetime.fromisoformat(row["ts"]) == datetime(2026, 11, 22, 15, 48, 38, 796_000, UTC)
    assert await cp.history(runId=unique, since=row["ts"], until=row["ts"]) == [row]
