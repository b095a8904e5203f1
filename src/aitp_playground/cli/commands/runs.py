"""``runs``: what was run, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, get_args

import click

from aitp_playground.cli import completion
from aitp_playground.cli.running.client_options import client_options
from aitp_playground.cli.running.records import Records, with_records
from aitp_playground.cli.terminal.lines import print_json, say
from aitp_playground.store.port import RunStatus

_PAGE = 1000


@click.command("runs")
@click.option("--status", type=click.Choice(get_args(RunStatus)), help="Only runs with this status.")
@click.option("--ref", metavar="REF", shell_complete=completion.refs, help="Only runs of this scenario.")
@click.option("--limit", "-n", type=click.IntRange(1, 100_000), default=20, show_default=True, help="So many at most.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
@client_options
def command(
    status: str | None, ref: str | None, limit: int, as_json: bool, server: str | None, api_key: str | None
) -> int:
    """List runs, newest first: when, status and proof, id, scenario, label.

    \b
    Example:
      aitp-playground runs --status failed
    """

    async def tell(records: Records) -> int:
        left, before = limit, None
        while left:
            page, before = await records.runs(limit=min(left, _PAGE), before=before, status=status, scenario_ref=ref)
            for row in page:
                print_json(row, indent=None) if as_json else say(_line(row))
            left -= len(page)
            if before is None:
                break
        return 0

    return with_records(server, api_key, tell)


def _line(row: Mapping[str, Any]) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["created_at"]))
    status = row["status"] + (f", {row['proof']}" if row["proof"] else "")
    label = f"  {row['run_label']}" if row["run_label"] else ""
    return f"{when}  {status:<18}  {row['run_id']}  {row['scenario_ref']}{label}"
