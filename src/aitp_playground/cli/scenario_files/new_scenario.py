"""The texts that ``new`` writes: a small scenario whose refusal and success both depend on the token."""

from __future__ import annotations

#: The manifests that the new scenario names.
MANIFESTS = ("_shared/agents/researcher", "_shared/agents/writer")

_SCENARIO = """\
apiVersion: aitp.dev/v1
kind: ScenarioVersion
metadata:
  pack: "{pack}"
  scenario: "{scenario}"
  version: "{version}"
  name: "{title}"
  summary: A call is refused without a token, and answered with the one that a handshake brings.
  tags: []
spec:
  # A JSON Schema. Give a value with: --input topic="something else"
  inputs:
    schema:
      type: object
      properties:
        topic:
          type: string
          description: What to research.
          default: trust between agents
      required: [topic]

  # Each agent is a process with a key of its own.
  agents:
    - id: researcher
      ref: _shared/agents/researcher
      port_offset: 0
    - id: writer
      ref: _shared/agents/writer
      port_offset: 1

  # eager: false leaves every handshake to the steps below.
  trust:
    boundary: intra_org
    discovery: static
    eager: false

  workflow:
    steps:
      - id: stranger
        type: capability_call_no_trust
        agent: writer
        target_agent: researcher
        capability: research.query
        description: The writer asks without a token and is turned away.
        input_template:
          topic: "{{{{ inputs.topic }}}}"
        expect_status: 403
        expect:
          - path: $.body.error.code
            equals: POLICY_VIOLATION
          - event: capability.denied
            where: {{ agent_id: researcher, capability: research.query, code: tct_missing }}
          - event: capability.invoked
            max: 0

      - id: introduce
        type: handshake
        initiator: writer
        responder: researcher
        description: Both prove who they are; the researcher issues a token (TCT) to the writer.
        expect:
          - event: trust.established
            where: {{ initiator: writer, target: researcher }}

      - id: research
        agent: writer
        capability: research.query
        description: The same question, asked under that token, is answered.
        input_template:
          topic: "{{{{ inputs.topic }}}}"
        expect:
          - event: capability.invoked
            where: {{ agent_id: researcher, capability: research.query, status_code: 200 }}
            min: 1
            max: 1

      - id: write
        agent: writer
        capability: write.content
        description: The writer turns the answer into an article that cites its sources.
        input_from: research
        expect:
          - path: $.citations[0].source
            equals: "{{{{ outputs.research.findings[0].source }}}}"
"""

_PACK = """\
apiVersion: aitp.dev/v1
kind: ScenarioPack
metadata:
  slug: "{pack}"
  name: "{title}"
  description: Scenarios of our own.
  tags: []
"""


def scenario_text(pack: str, scenario: str, version: str) -> str:
    """``scenario.yaml`` of a new scenario. The names are parts of a ref already."""
    return _SCENARIO.format(pack=pack, scenario=scenario, version=version, title=_title(scenario))


def pack_text(pack: str) -> str:
    """``pack.yaml`` of a new pack."""
    return _PACK.format(pack=pack, title=_title(pack))


def _title(name: str) -> str:
    return name.replace("-", " ").replace("_", " ").capitalize()
