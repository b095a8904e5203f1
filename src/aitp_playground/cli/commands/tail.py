"""``tail``: what happens, as it happens."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import click

from aitp_playground.cli import completion
from aitp_playground.cli.exits import CANCELLED, SUCCESS
from aitp_playground.cli.process.settings import load_settings
from aitp_playground.cli.process.signals import Interrupts
from aitp_playground.cli.running.client_options import client_options
from aitp_playground.cli.running.result import exit_code
from aitp_playground.cli.running.run_ids import may_name_a_run, whole_id
from aitp_playground.cli.running.where import Where, where
from aitp_playground.cli.tailing.view import View
from aitp_playground.cli.tailing.wanted import Wanted
from aitp_playground.config import Settings
from aitp_playground.errors import InvalidRequest
from aitp_playground.events.selection import LEVELS, moment_of
from aitp_playground.events.vocabulary import TERMINAL_TYPES
from aitp_playground.uuids import is_uuid

Told = tuple[Mapping[str, Any], bytes | None]


def _since(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        try:
            moment_of(value)
        except ValueError as fault:
            raise click.BadParameter(str(fault)) from None
    return value


@click.command("tail")
@click.argument("source", required=False, metavar="[RUN|FILE|-]", shell_complete=completion.runs_and_files)
@click.option("--type", "types", multiple=True, metavar="PATTERN", help="Only these types, as in 'step.*'; repeatable.")
@click.option("--agent", metavar="ID", help="Only what names this agent.")
@click.option("--step", metavar="ID", help="Only what belongs to this step.")
@click.option("--level", type=click.Choice(LEVELS), help="Only this level and above.")
@click.option("--ref", metavar="REF", shell_complete=completion.refs, help="Only runs of this scenario.")
@click.option("--label", metavar="TEXT", help="Only runs with this label.")
@click.option("--since", metavar="TIME", callback=_since, help="Begin there: 90s, 10m, 2h or 7d ago, or at a time.")
@click.option("--follow/--no-follow", "-f", default=None, help="Go on with what comes; so by default on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, the event as it is stored.")
@client_options
def command(
    source: str | None,
    follow: bool | None,
    as_json: bool,
    server: str | None,
    api_key: str | None,
    types: tuple[str, ...],
    **filters: str | None,
) -> int:
    """Show the events of all runs as they are committed, or of one RUN until it is over, or those in a log.

    The server's stream survives its restart: nothing is lost and nothing told twice. Without a server, and without
    --server, this machine's database is read instead. FILE is a log of serve (JSON), followed over rotations; - is
    standard input.

    \b
    Exit codes: 0, of a RUN that is over its own (0 success, 1 failed, 130 cancelled),
    1 the server was away for a minute, 2 wrong usage or unknown run, 130 interrupted.

    \b
    Examples:
      aitp-playground tail --level warning
      aitp-playground serve 2>&1 >/dev/null | aitp-playground tail -
    """
    wanted = Wanted(types=types, **filters, follow=sys.stdout.isatty() if follow is None else follow)
    view = View(as_json=as_json)
    if source is not None and not _names_a_run(source):
        if source != "-" and not Path(source).exists():
            raise InvalidRequest(f"{source!r} is neither the id of a run nor a file")
        path = None if source == "-" else Path(source)
        return asyncio.run(_until_interrupted(_tell_log(path, wanted, view))) or SUCCESS
    settings = load_settings()
    asked = where(server, settings)
    telling = _tell_runs(source, wanted, view, asked, api_key)
    code = asyncio.run(_until_interrupted(telling))
    if code is not None:
        return code
    if follow:
        raise InvalidRequest(f"no playground is at {asked.url}, and only one that runs can be followed (--server URL)")
    click.echo(f"no playground is at {asked.url}; this is the history in {settings.database}", err=True)
    return asyncio.run(_until_interrupted(_tell_history(source, wanted, view, settings))) or SUCCESS


def _names_a_run(source: str) -> bool:
    """A file that is called like the beginning of an id is a file."""
    return is_uuid(source) or (may_name_a_run(source) and not Path(source).exists())


async def _until_interrupted(telling: Coroutine[Any, Any, int | None]) -> int | None:
    with Interrupts() as interrupts:
        told = asyncio.ensure_future(telling)
        stopped = asyncio.ensure_future(interrupts.asked.wait())
        try:
            await asyncio.wait({told, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if told.done():
                return told.result()
        finally:
            stopped.cancel()
            told.cancel()
            await asyncio.gather(told, stopped, return_exceptions=True)
        return CANCELLED


async def _tell_log(path: Path | None, wanted: Wanted, view: View) -> int:
    from aitp_playground.cli.tailing.sources import of_log

    return await _show(of_log(path, wanted), view)


async def _tell_runs(run_id: str | None, wanted: Wanted, view: View, asked: Where, api_key: str | None) -> int | None:
    """None when nobody is there, and nobody in particular was asked."""
    # Imported here: who reads a log needs no HTTP client.
    from aitp_playground.cli.running.api_client import ApiClient, Unreachable
    from aitp_playground.cli.tailing.sources import of_run, of_server
    from aitp_playground.net import client_session

    async with client_session() as http:
        try:
            if run_id is None:
                return await _show(of_server(http, asked.url, api_key, wanted, patient=asked.named), view)
            run_id = await whole_id(ApiClient(http, asked.url, api_key), run_id)
            return await _show(of_run(http, asked.url, api_key, run_id, patient=asked.named), view, wanted)
        except Unreachable as failure:
            if asked.named or failure.was_there:
                raise
            return None


async def _tell_history(run_id: str | None, wanted: Wanted, view: View, settings: Settings) -> int:
    from aitp_playground.cli.tailing.sources import of_history

    return await _show(of_history(settings, wanted, run_id), view, wanted if run_id is not None else None)


async def _show(told: AsyncGenerator[Told], view: View, of_one_run: Wanted | None = None) -> int:
    """Print what comes. ``of_one_run``: what of it, while its end, wanted or not, is the exit code."""
    ended = SUCCESS
    async with aclosing(told):
        async for event, raw in told:
            if of_one_run is None or of_one_run.holds(event):
                sys.stdout.buffer.write(view.line(event, raw))
                sys.stdout.buffer.flush()
            if of_one_run is not None and event.get("type") in TERMINAL_TYPES:
                ended = exit_code(TERMINAL_TYPES[event["type"]], None, require_proof=False)
    return ended
