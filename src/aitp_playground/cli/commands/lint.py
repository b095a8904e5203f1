"""``lint``: errors, and what is merely doubtful."""

from __future__ import annotations

from pathlib import Path

import click

from aitp_playground.cli.commands.validate import finding_line
from aitp_playground.cli.exits import FAILED, SUCCESS
from aitp_playground.cli.scenario_files.paths import beside, places
from aitp_playground.cli.terminal.lines import say
from aitp_playground.scenarios.lint import lint
from aitp_playground.steps import STEP_TYPES


@click.command("lint")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@click.option("--strict", is_flag=True, help="Exit 1 on warnings too.")
def command(paths: tuple[Path, ...], strict: bool) -> int:
    """Check scenario files for errors, and for what is allowed but probably not meant.

    PATH is as for validate. Findings are printed as file:line: level: message; the exit code is 1 when there are
    errors, with --strict also when there are warnings.

    \b
    Example:
      aitp-playground lint --strict scenarios
    """
    found = [
        (place, finding)
        for place in places(paths)
        for finding in lint(place.root, STEP_TYPES, beside(place.root))
        if place.covers(finding)
    ]
    for place, finding in found:
        say(finding_line(place, finding))
    errors = sum(finding.level == "error" for _, finding in found)
    warnings = len(found) - errors
    say(f"{_count(errors, 'error')}, {_count(warnings, 'warning')}" if found else "nothing found", err=True)
    return FAILED if errors or (strict and warnings) else SUCCESS


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
