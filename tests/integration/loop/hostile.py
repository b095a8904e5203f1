"""Scenarios whose inputs, expectations or very files cost more than they look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_SCENARIO = """\
apiVersion: aitp.dev/v1
kind: ScenarioVersion
metadata: {{pack: hostile, scenario: {name}, version: 1.0.0, name: Hostile}}
spec:
  inputs:
    schema: {schema}
  agents:
    - {{id: worker, ref: _shared/agents/unruly}}
  trust: {{eager: false}}
  workflow:
    steps:
      - {{id: act, agent: worker, capability: test.act, expect: {expect}}}
"""
_MANY_WRONG = [{"required": [f"k{n}"], "properties": {f"k{n}": {"type": "integer"}}} for n in range(60)]
_NODE: dict[str, Any] = {"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"$ref": "#/$defs/n"}}}
_BRANCHING = {
    "anyOf": [
        {"properties": {"x": {"$ref": "#/$defs/n"}}, "required": ["p"]},
        {"properties": {"x": {"$ref": "#/$defs/n"}}, "required": ["q"]},
    ]
}
_DOUBLING = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n - 1}"}] * 2} for n in range(1, 30)} | {"d0": {"minLength": 3}}


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"x": value}
    return value


#: Per scenario its schema and inputs that are hard under it.
SCHEMAS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "pattern": ({"properties": {"s": {"type": "string", "pattern": "^(a+)+$"}}}, {"s": "a" * 50_000 + "!"}),
    "look-ahead": ({"properties": {"s": {"type": "string", "pattern": "^(?=(a+)+$)"}}}, {"s": "a" * 50 + "!"}),
    "pattern-keys": ({"patternProperties": {"^(a|aa)+$": {"type": "integer"}}}, {"a" * 5_000 + "b": 1}),
    "unique": (
        {"properties": {"l": {"type": "array", "uniqueItems": True}}},
        {"l": [{"k": [n, {"m": n}]} for n in range(3_000)]},
    ),
    "any-of": ({"properties": {"l": {"type": "array", "items": {"anyOf": _MANY_WRONG}}}}, {"l": [{"z": 1}] * 2_000}),
    "defaults": (
        {
            "$defs": {"n": {**_NODE, "default": {}}},
            "properties": {name: {"$ref": "#/$defs/n", "default": {}} for name in "ab"},
        },
        {},
    ),
    "doubling": ({"$defs": _DOUBLING, "properties": {"s": {"$ref": "#/$defs/d29"}}}, {"s": "x"}),
    "branching": ({"$defs": {"n": _BRANCHING}, "properties": {"x": {"$ref": "#/$defs/n"}}}, nested(25)),
    "many": ({"additionalProperties": {"type": "integer"}}, {f"k{n}": "no" for n in range(60_000)}),
    "echo": ({}, {}),
}

#: Per scenario an expectation that is hard to judge of the text that the agent echoes.
EXPECTATIONS = {
    "matches": {"path": "$.s", "matches": "^(a+)+$"},
    "matches-look-ahead": {"path": "$.s", "matches": "^(?=(a+)+$)"},
    "matches-each": {"path": "$.l[*]", "contains": {"n": -1}},
}


def lattice(levels: int, width: int, innermost: str) -> str:
    lines = [f"x-l0: &l0 {innermost}"]
    for level in range(1, levels):
        merged = ", ".join([f"*l{level - 1}"] * width)
        lines.append(f"x-l{level}: &l{level} {{<<: [{merged}]}}")
    return "\n".join(lines) + "\n"


BROKEN = {
    "lattice-empty": lattice(10, 10, "{}"),
    "lattice-full": lattice(12, 12, "{a: 1}"),
    "aliases": "x-a: &a [1,1,1,1,1,1,1,1,1]\n"
    + "".join(
        f"x-{n}: &{n} [*{p},*{p},*{p},*{p},*{p},*{p},*{p},*{p}]\n" for p, n in zip("abcdefg", "bcdefgh", strict=True)
    ),
    "own-merge": "x-m: &m {<<: *m}\n",
    "deep": "x-d: " + "[" * 5_000 + "]" * 5_000 + "\n",
    "wide": "x-w: [" + "1," * 100_000 + "1]\n",
    "keys": "".join(f"k{n}: {n}\n" for n in range(15_000)),
    "unknown-step": "",
}


def write(root: Path, copies: int = 12) -> None:
    """All of them below ``root``, the broken ones many times."""
    for name, (schema, _) in SCHEMAS.items():
        _scenario(root, name, {"type": "object", **schema}, [])
    for name, expectation in EXPECTATIONS.items():
        _scenario(root, name, {"type": "object"}, [expectation])
    for copy in range(copies):
        for name, text in BROKEN.items():
            directory = root / "hostile" / f"{name}-{copy}" / "1.0.0"
            directory.mkdir(parents=True)
            (directory / "scenario.yaml").write_text(text + "apiVersion: aitp.dev/v1\nkind: ScenarioVersion\n")
    (root / "hostile/pack.yaml").write_text(
        "apiVersion: aitp.dev/v1\nkind: ScenarioPack\nmetadata: {slug: hostile, name: Hostile}\n"
    )


def _scenario(root: Path, name: str, schema: dict[str, Any], expect: list[dict[str, Any]]) -> None:
    directory = root / "hostile" / name / "1.0.0"
    directory.mkdir(parents=True)
    text = _SCENARIO.format(name=name, schema=json.dumps(schema), expect=json.dumps(expect))
    (directory / "scenario.yaml").write_text(text)
