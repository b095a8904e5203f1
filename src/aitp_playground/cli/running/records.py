"""Runs as they are recorded: at the playground that is asked, or in this machine's database when nobody is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

import click

from aitp_playground.cli.process.settings import load_settings
from aitp_playground.cli.running.api_client import ApiClient, Unreachable
from aitp_playground.cli.running.where import where
from aitp_playground.config import Settings
from aitp_playground.errors import RunNotFound
from aitp_playground.events.codec import decode, encode_json
from aitp_playground.net import client_session
from aitp_playground.observability.narrator import Narrator
from aitp_playground.recording.form import Given
from aitp_playground.store.port import RunStatus
from aitp_playground.store.sqlite import SqliteRunStore

T = TypeVar("T")


class Records(Protocol):
    """What can be asked about runs. Raises RunNotFound."""

    async def runs(
        self, *, limit: int, before: str | None = None, status: str | None = None, scenario_ref: str | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """A page, newest first, and where the next one begins."""

    def events(self, run_id: str) -> AsyncGenerator[bytes]:
        """The stored events of a run, each as its JSON."""

    async def narration(self, run_id: str) -> bytes:
        """The run as prose."""

    async def given(self, run_id: str) -> tuple[Given, RunStatus]:
        """What the run was started with, and how it stands now."""


class AtServer:
    """Asks a playground."""

    def __init__(self, client: ApiClient) -> None:
        self.client = client

    async def runs(
        self, *, limit: int, before: str | None = None, status: str | None = None, scenario_ref: str | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """See :class:`Records`."""
        return await self.client.runs(limit=limit, before=before, status=status, scenario_ref=scenario_ref)

    async def events(self, run_id: str) -> AsyncGenerator[bytes]:
        """See :class:`Records`."""
        after = 0
        while page := await self.client.events_after(run_id, after):
            for event in page:
                yield encode_json(event)
            after = page[-1]["seq"]

    async def narration(self, run_id: str) -> bytes:
        """See :class:`Records`."""
        return await self.client.narration(run_id)

    async def given(self, run_id: str) -> tuple[Given, RunStatus]:
        """See :class:`Records`."""
        head = await self.client.head(run_id)
        given = Given(
            run_id=run_id,
            ref=head["scenario_ref"],
            template=head["template"],
            inputs=head["inputs"],
            faults=head["fault_injection"],
        )
        return given, head["status"]


class InDatabase:
    """Reads this machine's own."""

    def __init__(self, store: SqliteRunStore) -> None:
        self._store = store

    async def runs(
        self, *, limit: int, before: str | None = None, status: str | None = None, scenario_ref: str | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """See :class:`Records`."""
        # Imported here: it knows how a run looks on the wire, and brings the whole API along.
        from aitp_playground.api.documents import run_line

        page = await self._store.list_runs(limit=limit, before=before, status=status, scenario_ref=scenario_ref)
        return [dict(run_line(row)) for row in page.rows], page.next

    async def events(self, run_id: str) -> AsyncGenerator[bytes]:
        """See :class:`Records`."""
        if await self._store.get(run_id) is None:
            raise RunNotFound(f"no run has the id {run_id!r}")
        after, more = 0, True
        while more:
            page = await self._store.read(run_id, after=after)
            for event in page.events:
                yield event.body
            after, more = page.next_after, page.more

    async def narration(self, run_id: str) -> bytes:
        """See :class:`Records`."""
        narrator = Narrator()
        told = narrator.lines([decode(body) async for body in self.events(run_id)])
        return told + f"{narrator.summary()}\n".encode()

    async def given(self, run_id: str) -> tuple[Given, RunStatus]:
        """See :class:`Records`."""
        row = await self._store.get(run_id)
        if row is None:
            raise RunNotFound(f"no run has the id {run_id!r}")
        return Given.of(row.header), row.summary.status


def with_records(server: str | None, api_key: str | None, work: Callable[[Records], Awaitable[T]]) -> T:
    """Do ``work`` at the playground of ``--server`` or the settings; where nobody is, and nobody in particular was
    asked, on this machine's database, which is then said."""
    settings = load_settings()
    asked = where(server, settings)
    try:
        return asyncio.run(_at_server(asked.url, api_key, work))
    except Unreachable:
        if asked.named:
            raise
    click.echo(f"no playground is at {asked.url}; this is the history in {settings.database}", err=True)
    return asyncio.run(_in_database(settings, work))


async def _at_server(url: str, api_key: str | None, work: Callable[[Records], Awaitable[T]]) -> T:
    async with client_session() as http:
        return await work(AtServer(ApiClient(http, url, api_key)))


async def _in_database(settings: Settings, work: Callable[[Records], Awaitable[T]]) -> T:
    async with history(settings) as store:
        return await work(InDatabase(store))


@asynccontextmanager
async def history(settings: Settings) -> AsyncIterator[SqliteRunStore]:
    """This machine's database, open."""
    store = SqliteRunStore(settings.database, state_dir=settings.state_dir)
    await store.open()
    try:
        yield store
    finally:
        await store.close()
