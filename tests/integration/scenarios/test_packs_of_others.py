"""A pack as others write them, with all that the documented schema allows: it loads, lints and runs unchanged."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from aitp_playground import resources
from aitp_playground.scenarios.lint import lint
from aitp_playground.service import Playground
from aitp_playground.steps import STEP_TYPES
from tests.support.playground import playground_at, run

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHIPPED = resources.scenarios_dir()
LONG = "This remark goes on and on, as remarks in packs of others do. " * 40

PACK = """\
# Our scenarios. Maintained by the platform team.
---
apiVersion: aitp.dev/v1
kind: ScenarioPack
x-owner: platform
metadata:
  slug: acme-demos
  name: ACME demos
  description: ~
  tags:
  x-colour: "#ff8800"
...
"""

SCENARIO = f"""\
---
# yaml-language-server: $schema=https://acme.example/scenario.schema.json
apiVersion: aitp.dev/v1
kind: ScenarioVersion
x-generator: {{ name: acme-gen, version: 3 }}
x-step: &probing
  type: capability_probe
  agent: research-agent-1
  target_agent: writing-agent-1
  capability: write.content
metadata:
  pack: acme-demos
  scenario: quarterly-report
  version: 2.0.0
  name: Quarterly report
  summary: >-
    {LONG}
  tags: [demo, 2024, on]
  x-ticket: ACME-17
spec:
  x-note: ours
  inputs:
    x-form: wide
    schema:
      type: object
      title: Inputs
      properties:
        topic: {{ type: string, default: "quarterly numbers" }}
        style: {{ type: string, enum: [casual, technical], default: technical }}
        never_used: {{ type: integer }}
        verbose: {{ type: boolean, default: false }}
      required: []
      additionalProperties: true
  agents:
    - &agent
      id: research-agent-1
      ref: _shared/agents/researcher
      port_offset: 0
      org: internal
      cloud: null
      did_web_host: ~
      signing_suite:
      x-icon: magnifier
    - <<: *agent
      id: writing-agent-1
      ref: _shared/agents/writer
  trust:
    boundary: intra_org
    discovery: static
    eager: true
    x-why: the old one
  aitp:
    accepted_identity_types: ~
    x-reviewed: 2024-02-30
  workflow:
    x-layout: lr
    steps:
      - id: intro
        type: meta
        description: |
          {LONG}
      - id: research-1
        type: workflow
        description: {LONG.strip()[:200]}
        agent: research-agent-1
        capability: research.query
        requires: []
        expect: []
        fault: null
        timeout_ms: ~
        input_from: null
        input_template:
          topic: "{{{{ inputs.topic }}}}"
          x-kept: "data, not a key of ours"
      - id: write-1
        agent: writing-agent-1
        capability: write.content
        input_from: research-1
        x-speed: slow
      - id: check-1
        type: meta
        expect:
          - event: step.complete
            x-about: both of them
            where: {{ step_id: write-1 }}
            min: 1
      - <<: *probing
        id: probe-1
        input_from: research-1
        expect_status: 200
        on_mismatch: fail
        requires: [write-1]
        expect:
          - path: $.body.topic
            equals: "{{{{ outputs.write-1.topic }}}}"
            x-note: the same topic
          - path: $.body.topic
            contains: "{{{{ outputs.research-1.topic }}}}"
...
"""

TEMPLATE = """\
%YAML 1.2
---
apiVersion: aitp.dev/v1
kind: ScenarioTemplate
x-since: 2.0
metadata: { name: lazy-trust, summary: "", x-a: b }
spec:
  x-why: to show it
  agents: ~
  trust: { eager: false, x-b: c }
  workflow:
    steps:
      - { id: shake-1, type: handshake, initiator: research-agent-1, responder: writing-agent-1, requested_grants: [] }
      - id: probe-1
        type: capability_probe
        agent: research-agent-1
        target_agent: writing-agent-1
        capability: write.content
        expect_status: 200
"""

MANIFEST = """\
apiVersion: aitp.dev/v1
kind: AgentManifest
metadata: { id: plain-agent, name: 2024, framework: custom, version: 1.0.0, x-team: a }
spec:
  x-b: c
  entrypoint: { type: python_module, value: researcher.main, x-c: d }
  host:
    python: python3
    cwd: ~
    startupTimeoutMs: 30000
    env: { TEAM: 7, NOTHING: "" }
    x-d: e
  aitp:
    offered_caps:
    - research.query
    display_name: 42
    identity_type: pinned_key
    oidc_issuer: null
    oidc_subject: null
    signing_suite: ed25519
    ttl_secs: 3600
    x-e: f
  did_web: false
"""

OWN = """\
apiVersion: aitp.dev/v1
kind: ScenarioVersion
metadata: { pack: acme-demos, scenario: own-agent, version: "1", name: 2024, summary: 12 }
spec:
  agents:
  - { id: only-1, ref: _shared/agents/plain-agent, port_offset: 0 }
  workflow:
    steps:
    - { id: 1, agent: only-1, capability: research.query, input_template: { topic: locks },
        expect: [ { path: $.findings, exists: true } ] }
"""


def write(root: Path, *, ends: str, mark: str) -> None:
    """The pack, with these line ends, and this before the first line."""
    files = {
        "acme-demos/pack.yaml": PACK,
        "acme-demos/quarterly-report/2.0.0/scenario.yaml": SCENARIO,
        "acme-demos/quarterly-report/2.0.0/templates/lazy-trust.yaml": TEMPLATE,
        "acme-demos/quarterly-report/2.0.0/templates/default.yaml": "# nothing changed\ndefaults:\n  style: casual\n",
        "acme-demos/own-agent/1/scenario.yaml": OWN,
        "_shared/agents/plain-agent.yaml": MANIFEST,
        "acme-demos/README.md": "# Our pack\n\nkind: nothing\n",
        "acme-demos/quarterly-report/README.md": "# The report\n",
        "acme-demos/quarterly-report/2.0.0/CHANGELOG": "none\n",
        "acme-demos/docs/notes.yaml": "just: notes\n",
        ".github/workflows/ci.yaml": "on: push\n",
        "README.md": "# Scenarios\n",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((mark + text.replace("\n", ends)).encode())
    for name in ("acme-demos/diagram.png", "acme-demos/quarterly-report/2.0.0/shot.png"):
        (root / name).write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff")


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[("\n", ""), ("\r\n", ""), ("\r\n", "\ufeff")],
    ids=["as usual", "of another system", "with a mark before"],
)
async def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Playground]:
    home = tmp_path_factory.mktemp("others")
    shutil.copytree(SHIPPED / "_shared", home / "scenarios/_shared")
    write(home / "scenarios", ends=request.param[0], mark=request.param[1])
    async with playground_at(home, scenarios_dir=str(home / "scenarios")) as playground:
        yield playground


async def test_it_loads_without_errors_and_lint_has_one_doubt(running: Playground) -> None:
    scenarios, errors = await running.catalog.scenarios()
    assert [str(error) for error in errors] == []
    assert [scenario.ref for scenario in scenarios] == [
        "acme-demos/own-agent@1", "acme-demos/quarterly-report@2.0.0",
    ]  # fmt: skip
    assert [template["name"] for template in scenarios[1].describe_templates()] == ["lazy-trust"]
    (root,) = running.services.settings.scenario_roots
    found = {(finding.level, finding.field) for finding in lint(root, STEP_TYPES) if "acme" in finding.file}
    assert found == {("warning", "spec.agents.1.port_offset")}, "two agents that want one port, and nothing else"


@pytest.mark.parametrize(
    ("ref", "template"),
    [
        ("acme-demos/quarterly-report@2.0.0", None),
        ("acme-demos/quarterly-report@2.0.0", "lazy-trust"),
        ("acme-demos/own-agent@1", None),
    ],
)
async def test_all_of_it_runs_and_is_proven(running: Playground, ref: str, template: str | None) -> None:
    outcome = await run(running, ref, template=template)
    assert (outcome.status, outcome.view.proof) == ("success", "proven"), outcome.view.error
    ports = [event.get("port") for event in outcome.of("agent.ready")]
    assert len(set(ports)) == len(ports)


async def test_inputs_that_nobody_uses_may_be_given(running: Playground) -> None:
    given = {"never_used": 5, "verbose": True, "unheard_of": [1]}
    outcome = await run(running, "acme-demos/quarterly-report@2.0.0", inputs=given)
    assert outcome.status == "success", outcome.view.error
