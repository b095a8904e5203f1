"""``narrate``: one run as prose."""

from __future__ import annotations

import sys

import click

from aitp_playground.cli import completion
from aitp_playground.cli.running.client_options import client_options, run_id_argument
from aitp_playground.cli.running.records import Records, with_records
from aitp_playground.cli.running.run_ids import whole_id


@click.command("narrate")
@click.argument("run", callback=run_id_argument, shell_complete=completion.runs)
@client_options
def command(run: str, server: str | None, api_key: str | None) -> int:
    """Tell a RUN as prose: a line for each event, then what came of it.

    \b
    Example:
      aitp-playground narrate 3f0c1f6e-…
    """

    async def tell(records: Records) -> int:
        text = (await records.narration(await whole_id(records, run))).decode("utf-8", "replace")
        sys.stdout.buffer.write(text.encode(sys.stdout.encoding or "utf-8", "backslashreplace"))
        sys.stdout.buffer.flush()
        return 0

    return with_records(server, api_key, tell)
