"""Where the events of ``tail`` come from: each source gives them in order, with their own bytes where there are any."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp

from aitp_playground.cli.running.api_client import ApiClient
from aitp_playground.cli.running.records import InDatabase, history
from aitp_playground.cli.running.run_ids import whole_id
from aitp_playground.cli.tailing.log_lines import event_of, lines_of_file, lines_of_stream
from aitp_playground.cli.tailing.server_stream import ServerStream
from aitp_playground.cli.tailing.wanted import Wanted
from aitp_playground.config import Settings
from aitp_playground.errors import InvalidRequest
from aitp_playground.events.selection import moment_of
from aitp_playground.events.vocabulary import TERMINAL_TYPES
from aitp_playground.runs.chronicle import Chronicle
from aitp_playground.store.chronicle_port import START

Told = tuple[Mapping[str, Any], bytes | None]

#: Of each run that is going on, how many of its last events one begins with.
BACKLOG = 10


async def of_server(
    http: aiohttp.ClientSession, base: str, api_key: str | None, wanted: Wanted, *, patient: bool
) -> AsyncGenerator[Told]:
    """Everything, as it is committed; without ``since`` it begins with the last events of each run that goes on."""
    parameters = wanted.parameters() | ({"since": wanted.since} if wanted.since else {})
    stream = ServerStream(http, f"{base}/events", api_key, parameters | {"follow": str(wanted.follow).lower()})
    shown: dict[str, int] = {}
    begun = not wanted.follow or wanted.since is not None
    async with aclosing(stream.frames(patient=patient)) as frames:
        async for data in frames:
            if data is None:
                if not begun:
                    # Asked for once the stream is there: what comes meanwhile is in both, and is told once.
                    begun = True
                    async for event in _backlog(ApiClient(http, base, api_key), wanted):
                        shown[str(event["run_id"])] = event["seq"]
                        yield event, None
                continue
            event = json.loads(data)
            if event.get("seq", 0) > shown.get(str(event.get("run_id")), 0) or "seq" not in event:
                yield event, data


async def _backlog(client: ApiClient, wanted: Wanted) -> AsyncGenerator[Mapping[str, Any]]:
    for row in reversed(await client.running()):
        after = max(0, row["event_count"] - BACKLOG)
        if wanted.ref not in (None, row["scenario_ref"]) or wanted.label not in (None, row["run_label"]):
            continue
        for event in await client.events_after(row["run_id"], after):
            if wanted.holds(event):
                yield event


async def of_run(
    http: aiohttp.ClientSession, base: str, api_key: str | None, run_id: str, *, patient: bool
) -> AsyncGenerator[Told]:
    """One run from its first event to its last. Raises RunNotFound."""
    stream = ServerStream(http, f"{base}/runs/{run_id}/events", api_key, {})
    async with aclosing(stream.frames(patient=patient)) as frames:
        async for data in frames:
            if data is not None:
                event = json.loads(data)
                yield event, data
                if event["type"] in TERMINAL_TYPES:
                    return


async def of_history(settings: Settings, wanted: Wanted, run_id: str | None) -> AsyncGenerator[Told]:
    """What is in this machine's database now. Raises RunNotFound."""
    async with history(settings) as store:
        if run_id is not None:
            records = InDatabase(store)
            async with aclosing(records.events(await whole_id(records, run_id))) as bodies:
                async for body in bodies:
                    yield json.loads(body), body
            return
        chronicle = Chronicle(store)
        begin = await chronicle.since(moment_of(wanted.since)) if wanted.since else START
        async with aclosing(chronicle.pages(begin, await chronicle.head())) as pages:
            async for part in pages:
                for entry in part.entries:
                    event = json.loads(entry.event.body)
                    if wanted.holds(event):
                        yield event, entry.event.body


async def of_log(path: Path | None, wanted: Wanted) -> AsyncGenerator[Told]:
    """A structured log: a file, or standard input for None."""
    if wanted.ref is not None or wanted.label is not None:
        raise InvalidRequest("a log does not say of which scenario a run is: --ref and --label need a server")
    since = moment_of(wanted.since) if wanted.since else 0.0
    batches = lines_of_stream(sys.stdin.buffer) if path is None else lines_of_file(path, follow=wanted.follow)
    async with aclosing(batches):
        async for lines in batches:
            for line in lines:
                event = event_of(line)
                if event is not None and wanted.holds(event) and event.get("ts", since) >= since:
                    yield event, None
