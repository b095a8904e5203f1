"""``cancel``: end a run."""

from __future__ import annotations

import asyncio

import click

from aitp_playground.cli import completion
from aitp_playground.cli.process.settings import load_settings
from aitp_playground.cli.running.client_options import client_options, run_id_argument
from aitp_playground.cli.running.where import where


@click.command("cancel")
@click.argument("run", callback=run_id_argument, shell_complete=completion.runs)
@client_options
def command(run: str, server: str | None, api_key: str | None) -> int:
    """End a RUN that goes on. Only a playground that runs can do that.

    \b
    Exit codes: 0 it is cancelled, or its end is on its way, 1 it was over before,
    2 unknown run, or no playground.

    \b
    Example:
      aitp-playground cancel 3f0c1f6e-…
    """
    return asyncio.run(_cancel(run, server, api_key))


async def _cancel(run: str, server: str | None, api_key: str | None) -> int:
    # Imported here: --help needs no HTTP client.
    from aitp_playground.cli.running.api_client import ApiClient, Unreachable
    from aitp_playground.cli.running.run_ids import whole_id
    from aitp_playground.cli.terminal.lines import say
    from aitp_playground.errors import InvalidRequest
    from aitp_playground.net import client_session

    asked = where(server, load_settings())
    try:
        async with client_session() as http:
            client = ApiClient(http, asked.url, api_key)
            run = await whole_id(client, run)
            outcome = await client.cancel(run)
    except Unreachable as failure:
        message = f"{failure.message}; only a playground that runs can end a run (--server URL)"
        raise InvalidRequest(message) from failure
    if not outcome["cancelled"]:
        say(f"run {run} was over before: {outcome['status']}")
        return 1
    say(f"run {run} is cancelled" if outcome["status"] == "cancelled" else f"the end of run {run} is on its way")
    return 0
