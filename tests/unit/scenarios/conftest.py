"""A scenarios directory to write into, with one sound scenario to start from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

import pytest

from aitp_playground.scenarios.catalog import Catalog
from aitp_playground.scenarios.findings import Finding
from aitp_playground.scenarios.lint import lint
from aitp_playground.steps import STEP_TYPES

HELLO = "demo/hello/1.0.0/scenario.yaml"
GREETER = """\
apiVersion: aitp.dev/v1
kind: AgentManifest
metadata: { id: greeter, name: Greeter, framework: custom, version: 1.0.0 }
spec:
  entrypoint: { type: python_module, value: greeter.main }
  aitp:
    offered_caps: [demo.greet]
    display_name: Greeter
"""
PACK = """\
apiVersion: aitp.dev/v1
kind: ScenarioPack
metadata: { slug: demo, name: Demo }
"""
SCENARIO = """\
apiVersion: aitp.dev/v1
kind: ScenarioVersion
metadata:
  pack: demo
  scenario: hello
  version: 1.0.0
  name: Hello
spec:
  inputs:
    schema:
      type: object
      properties:
        name: { type: string, default: you }
  agents:
    - id: host
      ref: _shared/agents/greeter
    - id: guest
      ref: _shared/agents/greeter
      port_offset: 1
  trust:
    eager: false
  workflow:
    steps:
      - id: meet
        type: handshake
        initiator: guest
        responder: host
      - id: greet
        type: capability_probe
        agent: guest
        target_agent: host
        capability: demo.greet
        input_template:
          name: "{{ inputs.name }}"
        expect:
          - path: $.status_code
            equals: 200
"""


class Tree:
    """A scenarios directory under construction."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return path

    def edit(self, old: str, new: str, name: str = HELLO) -> int:
        """Replace one piece of a file; the line on which the new piece begins."""
        text = (self.root / name).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} stands there {text.count(old)} times"
        before = text[: text.index(old)]
        self.write(name, text.replace(old, new))
        return before.count("\n") + 1

    def sound(self) -> Tree:
        self.write("_shared/agents/greeter.yaml", GREETER)
        self.write("../agents/greeter/main.py", "")
        self.write("demo/pack.yaml", PACK)
        self.write(HELLO, SCENARIO)
        return self

    def catalog(self, *others: Path) -> Catalog:
        return Catalog([self.root, *others], STEP_TYPES)

    def lint(self) -> Sequence[Finding]:
        return lint(self.root, STEP_TYPES)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    root = tmp_path / "scenarios"
    root.mkdir()
    return Tree(root).sound()
