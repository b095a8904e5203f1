"""``dry-run``: what a run would do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from aitp_playground.cli import completion
from aitp_playground.cli.process.settings import load_settings
from aitp_playground.cli.running.inputs import given_inputs, input_options
from aitp_playground.cli.scenario_files.catalog import catalog_of
from aitp_playground.cli.terminal.lines import say
from aitp_playground.cli.terminal.steps import step_lines
from aitp_playground.config import Settings
from aitp_playground.hosting.launcher import AgentLauncher
from aitp_playground.scenarios.inputs import complete_inputs
from aitp_playground.scenarios.models import ResolvedScenario


@click.command("dry-run")
@click.argument("ref", shell_complete=completion.refs)
@input_options
@click.option(
    "--template", "-t", metavar="NAME", shell_complete=completion.templates, help="Take this variant of the scenario."
)
def command(ref: str, pairs: tuple[str, ...], document: bytes | str | None, template: str | None) -> int:
    """Say what a run of the scenario REF would do: inputs, agents and how they are launched, who calls whom.

    Everything is resolved and checked as for a run; no process is started and nothing is recorded.

    \b
    Example:
      aitp-playground dry-run intra-org/research-and-write@1.0.0 --input style=technical
    """
    settings = load_settings()
    settings.refuse_missing_model_key()
    resolved = asyncio.run(_resolved(settings, ref, template))
    schema = resolved.scenario.spec.inputs.json_schema
    inputs = complete_inputs(schema, given_inputs(schema, pairs, document))
    say(resolved.ref + (f" with template {resolved.template}" if resolved.template else ""), bold=True)
    for line in _lines(resolved, inputs, settings):
        say(line)
    return 0


async def _resolved(settings: Settings, ref: str, template: str | None) -> ResolvedScenario:
    catalog = catalog_of(settings)
    return await catalog.resolve(ref, template)


def _lines(resolved: ResolvedScenario, inputs: Mapping[str, Any], settings: Settings) -> Iterator[str]:
    scenario, trust = resolved.scenario, resolved.scenario.spec.trust
    yield "inputs"
    for name, value in inputs.items():
        yield f"  {name}: {json.dumps(value, ensure_ascii=False)}"
    yield "agents"
    yield from _agents(resolved, settings)
    yield f"trust: {trust.boundary}, peers found by {trust.discovery}"
    if trust.eager:
        ids = [agent.id for agent in scenario.spec.agents]
        for position, first in enumerate(ids):
            for second in ids[position + 1 :]:
                yield f"  {first} shakes hands with {second}; each then holds a TCT from the other"
    yield "steps"
    for number, step in enumerate(scenario.spec.workflow.steps, 1):
        yield from step_lines(number, step, scenario, resolved.manifests)


def _agents(resolved: ResolvedScenario, settings: Settings) -> Iterator[str]:
    launcher = AgentLauncher.from_settings(settings)
    for agent in resolved.scenario.spec.agents:
        manifest = resolved.manifests[agent.id].spec
        own, forked = launcher.choose(agent.id, manifest.host.python, manifest.host.env)
        port = settings.agent_base_port + agent.port_offset
        yield f"  {agent.id}: {manifest.entrypoint.value}, offers {', '.join(manifest.aitp.offered_caps)}"
        yield (
            f"      {'forked from a prepared' if forked else 'executed by'} {own or settings.python}, "
            f"port {port} if it is free"
        )
