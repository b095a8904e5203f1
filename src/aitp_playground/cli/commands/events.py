"""``events``: the log of one run."""

from __future__ import annotations

import json
import sys

import click

from aitp_playground.cli import completion
from aitp_playground.cli.running.client_options import client_options, run_id_argument
from aitp_playground.cli.running.records import Records, with_records
from aitp_playground.cli.running.run_ids import whole_id
from aitp_playground.cli.tailing.view import View
from aitp_playground.cli.tailing.wanted import Wanted
from aitp_playground.events.selection import LEVELS


@click.command("events")
@click.argument("run", callback=run_id_argument, shell_complete=completion.runs)
@click.option("--type", "types", multiple=True, metavar="PATTERN", help="Only these types, as in 'step.*'; repeatable.")
@click.option("--agent", metavar="ID", help="Only what names this agent.")
@click.option("--step", metavar="ID", help="Only what belongs to this step.")
@click.option("--level", type=click.Choice(LEVELS), help="Only this level and above.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, the event as it is stored.")
@client_options
def command(
    run: str,
    types: tuple[str, ...],
    agent: str | None,
    step: str | None,
    level: str | None,
    as_json: bool,
    server: str | None,
    api_key: str | None,
) -> int:
    """Show the stored events of a RUN, in order. What is going on is followed by `tail RUN`.

    \b
    Example:
      aitp-playground events 3f0c1f6e-… --type 'capability.*' --json
    """
    wanted, view = Wanted(types=types, agent=agent, step=step, level=level), View(as_json=as_json)

    async def tell(records: Records) -> int:
        async for body in records.events(await whole_id(records, run)):
            event = json.loads(body)
            if wanted.holds(event):
                sys.stdout.buffer.write(view.line(event, body))
        sys.stdout.buffer.flush()
        return 0

    return with_records(server, api_key, tell)
