"""``diff``: how two runs differ."""

from __future__ import annotations

from pathlib import Path

import click

from aitp_playground.cli import completion
from aitp_playground.cli.exits import FAILED, SUCCESS
from aitp_playground.cli.running.client_options import client_options
from aitp_playground.cli.running.run_ids import may_name_a_run
from aitp_playground.uuids import is_uuid


def _run_or_file(_ctx: click.Context, _param: click.Parameter, value: str) -> str | Path:
    """The id of a run, or its beginning, or a file; a file that is called like a run is ``./…``."""
    if is_uuid(value):
        return value
    if not Path(value).is_file():
        if may_name_a_run(value):
            return value
        raise click.BadParameter(
            f"{value!r} is neither the id of a run (aitp-playground runs lists them) nor a file with events"
        )
    return Path(value)


@click.command("diff")
@click.argument("a", metavar="RUN|FILE", callback=_run_or_file, shell_complete=completion.runs_and_files)
@click.argument("b", metavar="RUN|FILE", callback=_run_or_file, shell_complete=completion.runs_and_files)
@click.option("--volatile", is_flag=True, help="Also events that may as well not have come, as an agent's own polls.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as GET /runs/{a}/diff/{b} answers it.")
@client_options
def command(
    a: str | Path, b: str | Path, volatile: bool, as_json: bool, server: str | None, api_key: str | None
) -> int:
    """Say how two runs differ: how they ended, what their steps gave, what happened.

    Ids, keys, ports, times and the order in which agents happened to act are no difference. A FILE holds the events
    of a run, as `events RUN --json` prints them.

    \b
    Exit codes: 0 the same happened in both, 1 they differ, or the server failed
    and nothing is printed, 2 wrong usage, unknown run, or one that goes on.

    \b
    Example:
      aitp-playground diff 3f0c1f6e-… 77ab02c4-…
    """
    # Imported here: --help and completion need none of it.
    from aitp_playground.cli.diffing.sides import Side, of_file, of_run
    from aitp_playground.cli.diffing.view import View
    from aitp_playground.cli.running.records import Records, with_records
    from aitp_playground.cli.running.run_ids import whole_id
    from aitp_playground.cli.terminal.lines import print_json, print_text
    from aitp_playground.recording.comparing import compared

    async def read(records: Records) -> dict[str, Side]:
        return {run: await of_run(records, await whole_id(records, run)) for run in (a, b) if isinstance(run, str)}

    files = {path: of_file(path) for path in (a, b) if isinstance(path, Path)}
    runs = with_records(server, api_key, read) if len(files) < len({a, b}) else {}
    sides = [files[one] if isinstance(one, Path) else runs[one] for one in (a, b)]
    forms = [side.form(volatile=volatile) for side in sides]
    comparison = compared(*forms)
    if as_json:
        about = {name: side.about(form) for name, side, form in zip("ab", sides, forms, strict=True)}
        print_json({**about, **comparison.as_dict()})
    else:
        (first, second) = zip(sides, forms, strict=True)
        for line in View().lines(first, second, comparison):
            print_text(line)
    return SUCCESS if comparison.equal else FAILED
