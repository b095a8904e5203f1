"""Every metric, with all values of labels, moves with what it is for: a real service, real agents, real failures."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import re
import subprocess
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from aitp_playground.control_plane.misbehaviour.switches import Switch, Switches
from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.server import Running, control_plane
from aitp_playground.observability import disk
from aitp_playground.observability.metrics import OTHER, Metrics
from aitp_playground.runs.intake import deliveries
from aitp_playground.service import Playground, playground
from aitp_playground.store.sqlite import SqliteRunStore

from .cli.serving import ask, serving
from .cli.shell import Shell
from .runs.test_store_failure import fail_writes, ready
from .runs.watching import ACT, DUO, PATIENCE, eventually, until, writer
from .webhooks.calling import body_of, settings_with, subscribe

PREFIX = "aitp_playground_"
#: Labels whose values are declared in one place, the vocabulary, the step types or the router, and counted by one line.
DECLARED = {"type", "step_type", "method", "route", "le"}
Page = dict[str, float]


def read(text: str) -> Page:
    """Series as they are written, labels in order, without the prefix of the names."""
    found: Page = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[sample.name.removeprefix(PREFIX) + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def moved(wanted: str, before: Page, now: Page) -> bool:
    return not math.isnan(now[wanted]) and now[wanted] != before[wanted]


@dataclass(slots=True)
class Watch:
    """``seen``: the series that have moved so far."""

    running: Playground
    http: aiohttp.ClientSession
    seen: set[str] = field(default_factory=set)

    async def page(self) -> Page:
        async with self.http.get(f"{self.running.url}/metrics") as answer:
            return read(await answer.text())

    @contextlib.asynccontextmanager
    async def moves(self, *wanted: str) -> AsyncIterator[None]:
        """After what happens inside each of these is another than before, at once or soon."""
        before = await self.page()
        yield
        missing = set(wanted)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while missing:
                    now = await self.page()
                    missing -= {one for one in missing if moved(one, before, now)}
                    await asyncio.sleep(0.01)
        assert not missing, "these have not moved"
        self.seen |= set(wanted)

    async def shows(self, series: str, holds: Callable[[float], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not holds((await self.page())[series]):  # noqa: ASYNC110 - a page sends no events
                await asyncio.sleep(0.01)

    async def submit(self, ref: str = ACT, key: str = "", **request: Any) -> str:
        headers = {"Idempotency-Key": key} if key else {}
        body = {"scenario_ref": ref, **request}
        async with self.http.post(f"{self.running.url}/runs", json=body, headers=headers) as answer:
            return str((await answer.json())["run_id"])

    async def telemetry(self, token: str, *numbers: int, text: str = "") -> int:
        events = [{"emitter_seq": n, "type": "capability.invoked", "payload": {"text": text}} for n in numbers]
        headers = {"Authorization": f"Bearer {token}"}
        body = {"emitter_seq": numbers[-1], "events": events}
        async with self.http.post(f"{self.running.url}/internal/telemetry", json=body, headers=headers) as answer:
            return answer.status


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """STATE_DIR, on a disk that nobody else writes to where that can be had."""
    place = tmp_path / "state"
    place.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "tmpfs", place]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    yield place
    if mounted:
        subprocess.run(["umount", place], check=True)


async def test_every_metric_moves_with_what_it_is_for(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "EVERY", 0.05)
    seen = await asyncio.to_thread(lines_that_nobody_reads, tmp_path / "alone")
    async with contextlib.AsyncExitStack() as stack, aiohttp.ClientSession() as http:
        cp_stack = await stack.enter_async_context(contextlib.AsyncExitStack())
        cp = await cp_stack.enter_async_context(control_plane(Options()))
        history = tmp_path / "history"
        settings = settings_with(
            cp,
            tmp_path,
            state_dir=state,
            run_history_db=str(history / "runs.db"),
            max_concurrent_runs=1,
            max_pending_runs=3,
            cp_ingest_settle_secs=0.05,
        )
        watch = Watch(await stack.enter_async_context(playground(settings)), http, seen)
        await what_settings_say(watch)
        await a_run_from_its_request_to_its_report(watch, cp)
        await agents_and_steps_that_come_to_nothing(watch)
        await answers_of_every_class(watch)
        await while_a_run_goes_on(watch, cp, state, history)
        await what_the_control_plane_delivers(watch)
        await a_store_that_cannot_write(watch)
        await a_loop_that_is_held(watch)
        await a_control_plane_that_is_gone(watch, cp_stack)
        missing = what_can_move(watch.running.metrics) - {part for series in watch.seen for part in parts(series)}
        assert missing == set()


def what_can_move(metrics: Metrics) -> set[str]:
    """Each family, and each value of its labels but for those that are declared elsewhere."""
    page = read(metrics.render().decode())
    return {part for series in page if not series.startswith(("process_", "python_")) for part in parts(series)}


def parts(series: str) -> set[str]:
    """A series as its family and, of each label with a value of its own, the family with it."""
    name = re.sub(r"_(count|sum|bucket)$", "", series.partition("{")[0])
    labels = re.findall(r'(\w+)="([^"]*)"', series)
    return {name, *(f"{name} {label}={value}" for label, value in labels if label not in DECLARED and value != OTHER)}


def lines_that_nobody_reads(home: Path) -> set[str]:
    """The log of the command: nobody holds the other end of its pipe any more."""
    home.mkdir()
    with serving(Shell(home)) as (server, url):
        assert server.stderr is not None
        server.stderr.close()
        before = read(ask(f"{url}/metrics").decode())
        assert before["log_lines_dropped_total"] >= 0
        ask(f"{url}/runs", {"scenario_ref": "intra-org/trust-gate@1.0.0"})
        deadline = time.monotonic() + PATIENCE
        while not moved("log_lines_dropped_total", before, read(ask(f"{url}/metrics").decode())):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    return {"log_lines_dropped_total"}


async def what_settings_say(watch: Watch) -> None:
    """And what a disk is: they are there from the start, and do not change."""
    nothing = read(Metrics().render().decode())
    page = await watch.page()
    assert (page["runs_running_limit"], page["runs_pending_limit"]) == (1, 3)
    for directory in ("state", "history"):
        size = f'disk_size_bytes{{directory="{directory}"}}'
        await watch.shows(size, lambda value: value > 0)
        watch.seen.add(size)
    page = await watch.page()
    given = {"runs_running_limit", "runs_pending_limit"}
    assert all(moved(series, nothing, page) for series in given)
    assert page["store_writable"] == 1
    watch.seen |= given


async def a_run_from_its_request_to_its_report(watch: Watch, cp: Running) -> None:
    key = str(uuid.uuid4())
    async with watch.moves(
        'http_requests_total{method="POST",route="/runs",status_class="2xx"}',
        'http_request_seconds_count{method="POST",route="/runs"}',
        'events_total{origin="service",type="run.started"}',
        "runs_started_total",
        'runs_total{status="success"}',
        "run_duration_seconds_count",
        'steps_total{outcome="complete",step_type="workflow"}',
        'agent_launches_total{result="ready"}',
        "agent_launch_seconds_count",
        'telemetry_batches_total{result="accepted"}',
        'cp_ingest_events_total{fate="stored"}',
    ):
        first = await watch.submit(key=key)
    async with watch.moves("idempotent_replays_total"):
        assert await watch.submit(key=key) == first
    # Stored there, and the answer lost.
    cp.service.switches.set({"fault": "drop", "method": "POST", "path": "/api/events", "calls": 1})
    async with watch.moves("cp_ingest_retries_total", 'cp_ingest_events_total{fate="already_there"}'):
        await watch.submit()


async def agents_and_steps_that_come_to_nothing(watch: Watch) -> None:
    async with watch.moves('agent_launches_total{result="failed"}', 'runs_total{status="failed"}'):
        await watch.submit(template="exit")
    async with watch.moves('steps_total{outcome="failed",step_type="workflow"}'):
        await watch.submit(DUO, inputs={"act": "raise"})
    async with watch.moves('steps_total{outcome="skipped",step_type="meta"}'):
        await watch.submit(template="idle")
    with pytest.MonkeyPatch.context() as patch:
        launching = asyncio.Event()

        async def never(_: object) -> None:
            launching.set()
            await asyncio.Event().wait()

        patch.setattr(watch.running.services.launcher, "launch", never)
        async with watch.moves('agent_launches_total{result="cancelled"}'):
            run_id = await watch.submit()
            await asyncio.wait_for(launching.wait(), PATIENCE)
            await watch.running.directory.cancel(run_id)


async def answers_of_every_class(watch: Watch) -> None:
    for path, headers, status_class in (
        ("/openapi.json", {"If-None-Match": "*"}, "3xx"),
        ("/runs/of-nobody", {}, "4xx"),
    ):
        route = path.replace("of-nobody", "{run_id}")
        async with watch.moves(f'http_requests_total{{method="GET",route="{route}",status_class="{status_class}"}}'):
            await (await watch.http.get(watch.running.url + path, headers=headers)).read()


async def while_a_run_goes_on(watch: Watch, cp: Running, state: Path, history: Path) -> None:
    running = watch.running
    await eventually(lambda: running.directory.load == (0, 0))
    await watch.shows("agents_live", lambda value: value == 0)
    async with watch.moves("runs_running", "agents_live", "runs_pending"):
        run_id = await watch.submit(inputs={"act": "sleep", "seconds": 600})
        await until(running, run_id, "step.started")
        waiting = await watch.submit()
    running.services.tokens.admit("raw", writer(running, run_id).ref, "raw", "")
    async with watch.moves("sse_subscribers"):
        stream = await watch.http.get(f"{running.url}/runs/{run_id}/events")
    stream.close()
    async with watch.moves('telemetry_batches_total{result="rejected"}'):
        assert await watch.telemetry("of-nobody", 1) == 401
    async with watch.moves(
        'telemetry_batches_total{result="duplicate"}', 'events_total{origin="agent",type="capability.invoked"}'
    ):
        assert [await watch.telemetry("raw", 1, text="\0") for _ in range(2)] == [200, 200]
    for directory, place in (("state", state), ("history", history)):
        async with watch.moves(f'disk_free_bytes{{directory="{directory}"}}'):
            (place / "filler").write_bytes(b"x" * (8 << 20))
    await an_event_that_is_refused(watch, cp, waiting)
    await a_commit_that_takes_long(watch)
    running.services.tokens.forget("raw")
    # With the NUL of the telemetry, which the Control Plane could not hold.
    async with watch.moves('cp_ingest_events_total{fate="sanitised"}', 'runs_total{status="cancelled"}'):
        await running.directory.cancel(run_id)


async def an_event_that_is_refused(watch: Watch, cp: Running, waiting: str) -> None:
    """In itself and as a stub, by a Control Plane that takes the event about nothing in between.

    A run that is cancelled while it waits has one event.
    """
    await watch.shows("cp_ingest_runs_waiting", lambda value: value == 0)
    numbers = itertools.count()
    take = Switches.take

    def choosy(switches: Switches, fault: str, method: str = "", path: str = "") -> Switch | None:
        if (fault, method, path) == ("status", "POST", "/api/events"):
            return None if next(numbers) % 2 else Switch(id="choosy", fault="status", status=400)
        return take(switches, fault, method, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Switches, "take", choosy)
        async with watch.moves('cp_ingest_events_total{fate="stub"}', 'cp_ingest_events_total{fate="dropped"}'):
            await watch.running.directory.cancel(waiting)
    assert next(numbers) == 4


async def a_commit_that_takes_long(watch: Watch) -> None:
    store = watch.running.services.store
    assert isinstance(store, SqliteRunStore)
    leave = threading.Event()
    busy = store.database.write(lambda _: leave.wait(PATIENCE))
    async with watch.moves("store_queued_events", "store_last_commit_seconds"):
        told = asyncio.create_task(watch.telemetry("raw", 2))
    leave.set()
    await busy
    assert await told == 200


async def what_the_control_plane_delivers(watch: Watch) -> None:
    running = watch.running
    run_id = await watch.submit()
    await until(running, run_id, "run.complete")
    hook = await subscribe(running, run_id)
    told = 'events_total{origin="control_plane",type="cp.webhook.delivered"}'
    async with watch.moves(told, 'webhook_deliveries_total{result="stored"}'):
        assert await hook.post(body_of("once")) == 200
    for result, status, post in (
        ("duplicate", 200, {"body": body_of("once")}),
        ("unsigned", 401, {"body": body_of(), "signed": "sha256=" + "0" * 64}),
        ("unknown_run", 404, {"body": body_of(), "run_id": str(uuid.uuid4())}),
        ("too_large", 413, {"body": b" " * (2 << 20)}),
        ("refused", 415, {"body": body_of(), "encoding": "br"}),
    ):
        async with watch.moves(f'webhook_deliveries_total{{result="{result}"}}'):
            assert await hook.post(**post) == status
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deliveries, "MOST_FOREIGN", 0)
        async with watch.moves('webhook_deliveries_total{result="counted"}'):
            assert await hook.post(body_of(runId=str(uuid.uuid4()))) == 200


async def a_store_that_cannot_write(watch: Watch) -> None:
    running = watch.running
    recover = fail_writes(running)
    not_ready = 'http_requests_total{method="GET",route="/readyz",status_class="5xx"}'
    async with watch.moves("store_writable", not_ready):
        assert (await ready(watch.http, running))[0] == 503
    assert (await watch.page())["store_writable"] == 0
    recover()
    async with watch.moves("store_writable"):
        assert (await ready(watch.http, running))[0] == 200
    assert (await watch.page())["store_writable"] == 1


async def a_loop_that_is_held(watch: Watch) -> None:
    """For longer than a busy machine has held it of late."""
    worst = (await watch.page())["loop_lag_seconds"]
    async with watch.moves("loop_lag_seconds"):
        time.sleep(worst + 0.5)  # noqa: ASYNC251 - this is what it is for
    assert (await watch.page())["loop_lag_seconds"] > worst + 0.3


async def a_control_plane_that_is_gone(watch: Watch, cp_stack: contextlib.AsyncExitStack) -> None:
    await watch.shows("cp_ingest_runs_waiting", lambda value: value == 0)
    async with watch.moves("cp_breaker_open", "cp_ingest_runs_waiting", "cp_ingest_lag_seconds"):
        await cp_stack.aclose()
        await watch.submit()
    async with watch.http.get(f"{watch.running.url}/readyz") as answer:
        assert json.loads(await answer.text())["control_plane"]["breaker"] == "open"
