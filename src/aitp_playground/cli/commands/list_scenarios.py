"""``list``: what can be run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import click

from aitp_playground.cli.process.settings import load_settings
from aitp_playground.cli.scenario_files.catalog import catalog_of
from aitp_playground.cli.terminal.lines import print_json, say
from aitp_playground.scenarios.findings import Finding
from aitp_playground.scenarios.loaded import LoadedScenario


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: scenarios with their templates, and errors.")
def command(as_json: bool) -> int:
    """List the scenarios that can be run, with their templates. Broken files are named on stderr.

    \b
    Example:
      aitp-playground list
    """
    scenarios, errors = asyncio.run(catalog_of(load_settings()).scenarios())
    if as_json:
        print_json(_document(scenarios, errors))
        return 0
    for scenario in scenarios:
        say(scenario.ref, bold=True)
        say(f"    {scenario.scenario.metadata.summary}")
        if scenario.templates:
            say(f"    templates: {', '.join(sorted(scenario.templates))}")
    for finding in errors:
        listed = finding.as_listed()
        say(f"{listed['file']}:{listed['line']}: {listed['message']}", err=True)
    return 0


def _document(scenarios: Sequence[LoadedScenario], errors: Sequence[Finding]) -> dict[str, object]:
    return {
        "scenarios": [{**scenario.listed(), "templates": scenario.describe_templates()} for scenario in scenarios],
        "errors": [finding.as_listed() for finding in errors],
    }
