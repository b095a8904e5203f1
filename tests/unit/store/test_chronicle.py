"""All that was committed is one sequence: in order, whole, and with its holes told."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from aitp_playground.store import chronicle, schema
from aitp_playground.store.chronicle_port import START, ChroniclePage, Position
from aitp_playground.store.port import StoredEvent
from aitp_playground.store.sqlite import SqliteRunStore

from .building import events, stored_run, summary
from .conftest import MakeSqlite


async def everything(store: SqliteRunStore, after: Position = START, limit: int = 1000) -> list[ChroniclePage]:
    pages = []
    while True:
        pages.append(await store.chronicle(after, limit=limit))
        if not pages[-1].more:
            return pages
        after = pages[-1].after


def told(pages: Iterable[ChroniclePage]) -> list[tuple[str, int]]:
    return [(entry.run_id, entry.event.seq) for page in pages for entry in page.entries]


async def append(store: SqliteRunStore, run_id: str, first: int, last: int) -> None:
    await store.append(run_id, events(first, last), summary(run_id, last))


@pytest.fixture
async def interleaved(store: SqliteRunStore) -> list[tuple[str, int]]:
    """Two runs that take turns; their events in the order in which they were committed."""
    for run_id in ("a", "b"):
        await stored_run(store, 0, run_id=run_id)
    await append(store, "a", 1, 3)
    await append(store, "b", 1, 1)
    await append(store, "a", 4, 5)
    await append(store, "b", 2, 4)
    return [*(("a", n) for n in (1, 2, 3)), ("b", 1), ("a", 4), ("a", 5), *(("b", n) for n in (2, 3, 4))]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_events_stand_in_the_order_of_their_commits(
    store: SqliteRunStore, interleaved: list[tuple[str, int]], limit: int
) -> None:
    pages = await everything(store, limit=limit)
    assert told(pages) == interleaved
    assert pages[-1].after == await store.chronicle_head()
    assert all(len(page.entries) <= limit for page in pages)


async def test_one_can_go_on_from_the_place_of_any_event(
    store: SqliteRunStore, interleaved: list[tuple[str, int]]
) -> None:
    [page] = await everything(store)
    for number, entry in enumerate(page.entries, 1):
        assert told(await everything(store, entry.position)) == interleaved[number:]
    assert told(await everything(store, page.after)) == []


@pytest.mark.parametrize("limit", [1, 2, 100])
@pytest.mark.parametrize("run_id", ["a", "b", "nobody"])
async def test_a_run_alone_is_read_from_any_place(
    store: SqliteRunStore, interleaved: list[tuple[str, int]], run_id: str, limit: int
) -> None:
    places = [entry.position for page in await everything(store) for entry in page.entries]
    for number, place in [(0, START), *enumerate(places, 1)]:
        found: list[tuple[str, int]] = []
        after = place
        while True:
            page = await store.chronicle(after, limit=limit, run_id=run_id)
            found += [(entry.run_id, entry.event.seq) for entry in page.entries]
            assert page.after > after or not page.more
            after = page.after
            if not page.more:
                break
        assert found == [each for each in interleaved[number:] if each[0] == run_id]
        assert after == await store.chronicle_head()


async def test_of_a_run_alone_no_other_commits_are_read(store: SqliteRunStore, interleaved: object) -> None:
    """The plan of the query, as the database says it: a row of runs by its id, its range of commits, their events."""
    del interleaved
    asked: list[str] = []

    def plan_of(connection: sqlite3.Connection) -> list[str]:
        connection.set_trace_callback(asked.append)
        chronicle.page(connection, START, 10, 10_000, "b")
        connection.set_trace_callback(None)
        (query,) = [query for query in asked if "number, coalesce" in query]
        return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]

    plan = await store.database.read(plan_of)
    assert plan[0].startswith("SEARCH runs USING")
    assert plan[1] == "SEARCH commits USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"
    assert plan[2].startswith("SEARCH events USING")


async def test_a_page_is_bounded_by_bytes_and_has_one_event_at_least(
    store: SqliteRunStore, interleaved: list[tuple[str, int]]
) -> None:
    page = await store.chronicle(START, max_bytes=1)
    assert (len(page.entries), page.more) == (1, True)


async def test_commits_of_two_processes_are_in_one_order(make_sqlite: MakeSqlite) -> None:
    first, second = await make_sqlite(), await make_sqlite()
    for store, run_id in ((first, "a"), (second, "b")):
        await stored_run(store, 0, run_id=run_id)
    for number in range(1, 20):
        await append((first, second)[number % 2], "ab"[number % 2], (number + 1) // 2, (number + 1) // 2)
    assert told(await everything(first)) == told(await everything(second))
    assert len(told(await everything(first))) == 19
    places = [
        [(entry.position, entry.position.era) for entry in (await everything(one))[0].entries]
        for one in (first, second)
    ]
    assert places[0] == places[1]
    for place, era in places[0]:
        assert (await first.chronicle_placed(place)).era == era


async def test_runs_that_were_removed_leave_a_hole_that_is_told_to_who_comes_by(
    store: SqliteRunStore, interleaved: list[tuple[str, int]]
) -> None:
    [before] = await everything(store)
    await store.delete("b")
    [page] = await everything(store)
    assert told([page]) == [entry for entry in interleaved if entry[0] == "a"]
    assert page.removed == ("b",)
    # Who had read the last event of b has missed nothing; who had read all but that one has.
    assert (await store.chronicle(before.entries[-1].position)).removed == ()
    assert (await store.chronicle(before.entries[-2].position)).removed == ("b",)
    assert (await store.chronicle(before.after)).removed == ()


async def test_a_hole_is_told_once_and_where_it_ends(store: SqliteRunStore, interleaved: list[tuple[str, int]]) -> None:
    await store.delete("a")
    pages = await everything(store, limit=1)
    assert [page.removed for page in pages].count(("a",)) == 1
    assert told(pages) == [entry for entry in interleaved if entry[0] == "b"]


async def test_who_reads_one_run_is_told_of_its_hole_and_of_no_other(
    store: SqliteRunStore, interleaved: list[tuple[str, int]]
) -> None:
    [before] = await everything(store)
    await store.delete("b")
    for after, expected in ((START, ("b",)), (before.entries[-2].position, ("b",)), (before.entries[-1].position, ())):
        page = await store.chronicle(after, run_id="b")
        assert (page.entries, page.removed, page.forgotten) == ((), expected, False)
        assert (await store.chronicle(page.after, run_id="b")).removed == ()
    for run_id in ("a", "never"):
        assert (await store.chronicle(START, run_id=run_id)).removed == ()


async def test_places_are_not_given_twice_after_the_newest_run_is_gone(store: SqliteRunStore) -> None:
    await stored_run(store, 3, run_id="a")
    head = await store.chronicle_head()
    await store.delete("a")
    assert await store.chronicle_head() == head
    await stored_run(store, 2, run_id="b")
    assert told(await everything(store, head)) == [("b", 1), ("b", 2)]


async def test_pruned_runs_leave_no_commits_behind(store: SqliteRunStore) -> None:
    for number in range(5):
        await stored_run(store, 4, finished_at=2000.0 + number, run_id=f"run-{number}")
    await store.prune(2)
    pages = await everything(store)
    assert {run_id for run_id, _ in told(pages)} == {"run-3", "run-4"}
    assert pages[0].removed == ("run-0", "run-1", "run-2")
    left = await store.database.read(lambda connection: connection.execute("SELECT count(*) FROM commits").fetchone())
    assert left == (2,)


async def test_so_many_removed_runs_are_known_by_name_and_the_rest_is_said_to_be_forgotten(
    store: SqliteRunStore,
) -> None:
    await stored_run(store, 1, run_id="first")
    await store.delete("first")
    assert not (await store.chronicle(START)).forgotten
    many = [(f"gone-{number}", number) for number in range(20_000)]
    await store.database.write(
        lambda connection: connection.executemany(
            "INSERT INTO removed_runs (run_id, last_commit, last_seq) VALUES (?, ?, 1)", many
        )
    )
    await stored_run(store, 1, run_id="last")
    middle = (await everything(store))[-1].after
    await store.delete("last")
    page = await store.chronicle(START)
    assert "first" not in page.removed
    assert page.forgotten
    assert not (await store.chronicle(middle)).forgotten
    # Of one run it is said only where nothing else is known of it, and to nobody who has come by.
    await stored_run(store, 1, run_id="there")
    for run_id, forgotten in (("first", True), ("never", True), ("last", False), ("there", False)):
        assert (await store.chronicle(START, run_id=run_id)).forgotten is forgotten, run_id
        assert not (await store.chronicle(middle, run_id=run_id)).forgotten


async def eras(store: SqliteRunStore) -> list[str]:
    """Those of every place that a reader from the start is told, in order."""
    pages = await everything(store)
    return [entry.position.era for page in pages for entry in page.entries] + [pages[-1].after.era]


async def lost(store: SqliteRunStore, place: Position) -> bool:
    return place > await store.chronicle_head() or (await store.chronicle_placed(place)).era != place.era


async def test_places_are_kept_over_restarts_whatever_was_removed(make_sqlite: MakeSqlite) -> None:
    places: list[Position] = []
    for number in range(4):
        store = await make_sqlite()
        assert [await lost(store, place) for place in places] == [False] * len(places)
        places.append(await store.chronicle_head())
        await stored_run(store, 2, run_id=f"run-{number}")
        [page] = await everything(store, places[-1])
        places += [page.entries[0].position, page.after]
        await store.close()
    store = await make_sqlite()
    await store.delete("run-2")
    assert [await lost(store, place) for place in places] == [False] * len(places)
    assert len(set(await eras(store))) == 3


@pytest.mark.parametrize("put_back", ["another file", "in place"])
@pytest.mark.parametrize("restarted", [False, True])
async def test_places_of_what_came_after_a_copy_that_was_put_back_are_lost_and_no_others(
    make_sqlite: MakeSqlite, tmp_path: Path, put_back: str, restarted: bool
) -> None:
    path = tmp_path / "state" / "runs.db"
    store = await make_sqlite()
    await stored_run(store, 2, run_id="kept")
    kept = (await everything(store))[0]
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(tmp_path / "copy")) as copy:
        source.backup(copy)
    if restarted:
        await store.close()
        store = await make_sqlite()
    await stored_run(store, 2, run_id="gone")
    gone = (await everything(store, kept.after))[0]
    await store.close()
    if put_back == "in place":
        path.write_bytes((tmp_path / "copy").read_bytes())
    else:
        (tmp_path / "copy").replace(path)
    store = await make_sqlite()
    for number in range(3):
        of_gone = [await lost(store, place) for place in (*(entry.position for entry in gone.entries), gone.after)]
        assert of_gone == [True] * 3
        assert [await lost(store, place) for place in (kept.entries[0].position, kept.after)] == [False] * 2
        await stored_run(store, 2, run_id=f"new-{number}")


async def test_eras_of_which_nothing_is_left_are_forgotten(make_sqlite: MakeSqlite) -> None:
    for number in range(5):
        store = await make_sqlite()
        await stored_run(store, 2, finished_at=2000.0 + number, run_id=f"run-{number}")
        await store.prune(2)
        await store.close()
    store = await make_sqlite()
    left = await store.database.read(lambda connection: connection.execute("SELECT count(*) FROM eras").fetchone())
    assert left[0] <= 3
    assert len(set(await eras(store))) == 2


async def test_what_was_stored_by_an_earlier_release_counts_as_a_commit_a_run(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    path = tmp_path / "state" / "runs.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        schema.migrate(old, schema.MIGRATIONS[:6])
        for key, count in ((1, 3), (2, 0), (3, 2)):
            old.execute(
                "INSERT INTO runs (run_id, status, event_count, created_at, owner, owner_dir, scenario_ref, inputs,"
                " fault_injection) VALUES (?, 'success', ?, 1.0, 'x', 'y', 'p/s@1', '{}', '{}')",
                (f"run-{key}", count),
            )
            for event in events(1, count):
                old.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", (key, event.seq, event.type, 1.0, event.body))
    store = SqliteRunStore(str(path), state_dir=tmp_path / "state")
    await store.open()
    try:
        await stored_run(store, 1, run_id="new")
        expected = [("run-1", 1), ("run-1", 2), ("run-1", 3), ("run-3", 1), ("run-3", 2), ("new", 1)]
        assert told(await everything(store)) == expected
        await store.delete("run-1")
        assert told(await everything(store)) == expected[3:]
    finally:
        await store.close()


async def test_a_time_is_found_without_reading_everything(store: SqliteRunStore) -> None:
    for number in range(1, 50):
        await stored_run(store, 2, run_id=f"run-{number}")  # events of 1001 and 1002 s
    await stored_run(store, 0, run_id="late")
    await store.append("late", [StoredEvent(1, "step.started", 5000.0, b"{}")], summary("late", 1))
    assert told(await everything(store, await store.chronicle_since(0))) == told(await everything(store))
    assert told(await everything(store, await store.chronicle_since(4000))) == [("late", 1)]
    assert told(await everything(store, await store.chronicle_since(6000))) == []
    await store.delete("run-25")
    assert told(await everything(store, await store.chronicle_since(4000))) == [("late", 1)]
