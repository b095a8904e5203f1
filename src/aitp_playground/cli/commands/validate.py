"""``validate``: can these files be used?"""

from __future__ import annotations

from pathlib import Path

import click

from aitp_playground.cli.exits import FAILED, SUCCESS
from aitp_playground.cli.scenario_files.paths import Place, beside, places
from aitp_playground.cli.terminal.lines import say
from aitp_playground.scenarios.findings import Finding
from aitp_playground.scenarios.index import Index
from aitp_playground.steps import STEP_TYPES


@click.command("validate")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
def command(paths: tuple[Path, ...]) -> int:
    """Check that scenario files have the right shape and name things that exist.

    PATH is a scenarios directory, or a pack, scenario or file in one; without it, all that SCENARIOS_DIR names is
    checked. Faults are printed as file:line: error: message, and the exit code is then 1; it is 2 when there is nothing
    to check.

    \b
    Example:
      aitp-playground validate scenarios/my-pack
    """
    faults = 0
    for place in places(paths):
        for finding in _errors(place):
            faults += 1
            say(finding_line(place, finding))
    say("no errors" if not faults else f"{faults} error{'' if faults == 1 else 's'}", err=True)
    return FAILED if faults else SUCCESS


def finding_line(place: Place, finding: Finding) -> str:
    """``file:line: level: message``."""
    message = f"{finding.field}: {finding.message}" if finding.field else finding.message
    return f"{place.shown(finding)}:{finding.line}: {finding.level}: {message}"


def _errors(place: Place) -> list[Finding]:
    listing = Index([place.root], STEP_TYPES, beside(place.root)).scan()
    return sorted(finding for finding in set(listing.errors) if place.covers(finding))
