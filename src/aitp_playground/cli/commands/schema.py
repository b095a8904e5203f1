"""``schema``: what scenario files may hold, for editors."""

from __future__ import annotations

from pathlib import Path

import click

from aitp_playground.cli.terminal.lines import print_or_write
from aitp_playground.scenarios.file_schema import KINDS, file_schema, text_of
from aitp_playground.steps import STEP_TYPES


@click.command("schema")
@click.argument("kind", required=False, type=click.Choice(sorted(KINDS)), metavar="[KIND]")
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file, whatever it held."
)
def command(kind: str | None, output: Path | None) -> int:
    """Print the JSON Schema of scenario files, by which an editor completes and checks them.

    It tells the kinds of files by what they say of themselves; with KIND (AgentManifest, ScenarioPack, ScenarioTemplate
    or ScenarioVersion) it is that of one kind alone.

    \b
    Example:
      aitp-playground schema --output scenarios/scenario.schema.json
    """
    print_or_write(text_of(file_schema(STEP_TYPES, kind)), output)
    return 0
