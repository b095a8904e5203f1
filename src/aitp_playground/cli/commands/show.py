"""``show``: a scenario for a reader."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from aitp_playground.cli import completion
from aitp_playground.cli.process.settings import load_settings
from aitp_playground.cli.scenario_files.catalog import catalog_of
from aitp_playground.cli.terminal.lines import print_json, say
from aitp_playground.cli.terminal.steps import step_lines
from aitp_playground.scenarios.loaded import LoadedScenario, LoadedTemplate
from aitp_playground.scenarios.models import AgentManifest, Scenario


@click.command("show")
@click.argument("ref", shell_complete=completion.refs)
@click.option(
    "--template",
    "-t",
    metavar="NAME",
    shell_complete=completion.templates,
    help="Show the scenario with this template merged in.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the parsed scenario as JSON.")
def command(ref: str, template: str | None, as_json: bool) -> int:
    """Show the scenario REF: its agents, how they come to trust each other, its inputs and what each step checks.

    \b
    Example:
      aitp-playground show intra-org/research-and-write@1.0.0 --template trust-strict
    """
    loaded = asyncio.run(catalog_of(load_settings()).scenario(ref))
    if as_json:
        print_json(loaded.describe(template))
        return 0
    chosen = loaded if template is None else loaded.template(template)
    scenario = chosen.merged if isinstance(chosen, LoadedTemplate) else chosen.scenario
    say(loaded.ref + (f" with template {template}" if template else ""), bold=True)
    for line in _lines(loaded, scenario, chosen.manifests):
        say(line)
    return 0


def _lines(loaded: LoadedScenario, scenario: Scenario, manifests: Mapping[str, AgentManifest]) -> Iterator[str]:
    yield f"{scenario.metadata.name}: {scenario.metadata.summary}"
    yield ""
    yield "agents"
    for agent in scenario.spec.agents:
        made, face = manifests[agent.id].metadata, manifests[agent.id].spec.aitp
        suite = agent.signing_suite or face.signing_suite
        traits = ", ".join(filter(None, (agent.org, agent.cloud, face.identity_type, suite)))
        yield f"  {agent.id}: {face.display_name}, offers {', '.join(face.offered_caps)} ({traits})"
        yield f"      {made.name} {made.version} ({made.framework}), from {agent.ref}"
    trust = scenario.spec.trust
    when = "every pair shakes hands before the first step" if trust.eager else "nobody shakes hands unless a step does"
    yield "trust"
    yield f"  {trust.boundary}, peers found by {trust.discovery}; {when}"
    yield "inputs"
    yield from input_lines(scenario.spec.inputs.json_schema)
    yield "steps"
    for number, step in enumerate(scenario.spec.workflow.steps, 1):
        yield from step_lines(number, step, scenario, manifests)
    if loaded.templates:
        yield "templates"
        for entry in loaded.describe_templates():
            yield f"  {entry['name']}: {entry['summary']}"


def input_lines(schema: Mapping[str, Any]) -> Iterator[str]:
    """A line for each input that the schema declares."""
    properties = schema.get("properties") or {}
    for name, declared in properties.items():
        yield f"  {name}: {_input_text(declared, required=name in schema.get('required', ()))}"
    if not properties:
        yield "  none"


def _input_text(declared: Any, *, required: bool) -> str:
    known = declared if isinstance(declared, Mapping) else {}
    parts = [str(known["type"])] if "type" in known else []
    if "enum" in known:
        parts.append("one of " + ", ".join(map(str, known["enum"])))
    if "default" in known:
        parts.append(f"default {json.dumps(known['default'], ensure_ascii=False)}")
    elif required:
        parts.append("required")
    text = ", ".join(parts) or "anything"
    return f"{text} ({known['description']})" if "description" in known else text
