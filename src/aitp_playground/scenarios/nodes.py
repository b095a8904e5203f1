"""YAML as the scenario files use it: which scalars are what, and what cannot be taken.

The grammar is YAML; plain scalars are read much as by the core schema of YAML 1.2 (so ``no`` is text), because what
comes out must be JSON.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from aitp_playground.scenarios.findings import Finding, KeyPath
from aitp_playground.scenarios.stamps import Stamp

MAX_DEPTH = 40
#: Keys and values as they are written, before anything is expanded.
MAX_NODES = 60_000
#: A tab among the blanks and dashes that a line begins with.
_TAB_INDENTS = re.compile(r"[ -]*\t")
#: As YAML 1.1 counts lines.
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
TAG = "tag:yaml.org,2002:"


class Broken(Exception):
    """A document that cannot be used. ``stamps``: what it depends on, so that a repair is noticed."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding
        self.stamps: dict[Path, Stamp] = {}


class _Loader(yaml.CSafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as its base has it


def _resolve_scalars() -> None:
    number = r"-?(?:0|[1-9][0-9]*)"
    for name, pattern, first in (
        ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
        ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
        ("int", number, list("-0123456789")),
        ("float", rf"{number}(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", list("-0123456789")),
        ("merge", "<<", ["<"]),
    ):
        for letter in first:
            entry = (TAG + name, re.compile(rf"^(?:{pattern})$"))
            _Loader.yaml_implicit_resolvers.setdefault(letter, []).append(entry)


_resolve_scalars()


def compose(text: str, file: str) -> yaml.Node | None:
    """The root node of a document, None for an empty one. Raises :class:`Broken`."""
    try:
        _check_size(text, file)
        loader = _Loader(text)
        try:
            node: yaml.Node | None = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        reason = problem.problem or problem.context
        if mark is not None and any(map(_TAB_INDENTS.match, _LINE_BREAK.split(text)[mark.line : mark.line + 1])):
            reason = "a tab cannot indent a line: write blanks in its place"
        raise broken(file, mark.line + 1 if mark else 1, f"not YAML: {reason}") from None
    except yaml.YAMLError as problem:
        position = getattr(problem, "position", 0)
        raise broken(file, text.count("\n", 0, position) + 1, f"not YAML: {problem}".splitlines()[0]) from None
    return node


def _check_size(text: str, file: str) -> None:
    # The composer recurses natively, without Python's guard against a too deep stack; and it makes all nodes, however
    # many there are, before anybody can count the values.
    depth = nodes = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if isinstance(event, yaml.NodeEvent):
            nodes += 1
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            line = event.start_mark.line + 1 if event.start_mark else 1
            deep = depth > MAX_DEPTH
            said = f"nested deeper than {MAX_DEPTH} levels" if deep else f"more than {MAX_NODES} keys and values"
            raise broken(file, line, said)


def merged_mappings(node: yaml.Node, file: str, at: KeyPath) -> Iterator[yaml.MappingNode]:
    """The mappings that ``<<`` names."""
    for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        if not isinstance(source, yaml.MappingNode):
            raise broken(file, node.start_mark.line + 1, "<< takes a mapping or a list of mappings", at)
        yield source


def scalar(node: yaml.Node, file: str, at: KeyPath) -> Any:
    """A scalar as JSON. Raises :class:`Broken`."""
    text = str(node.value)
    try:
        match node.tag.removeprefix(TAG):
            case "null":
                return None
            case "bool":
                return {"true": True, "false": False}[text.lower()]
            case "int":
                return _bounded(int(text))
            case "float":
                return _bounded(float(text))
            case "str" | "merge":
                return text
            case _:
                pass
    except (ValueError, KeyError, OverflowError):
        raise broken(file, node.start_mark.line + 1, f"{text[:40]!r} is no JSON value: put it in quotes", at) from None
    raise broken(file, node.start_mark.line + 1, f"the tag {node.tag!r} is not supported; only !include is", at)


def _bounded(number: float) -> float:
    if not math.isfinite(number) or (isinstance(number, int) and not -(2**63) <= number < 2**63):
        raise ValueError
    return number


def require_tag(node: yaml.Node, kind: str, file: str, at: KeyPath) -> None:
    """Raises :class:`Broken` for a collection with a tag of its own."""
    if node.tag != TAG + kind:
        raise broken(file, node.start_mark.line + 1, f"the tag {node.tag!r} is not supported; only !include is", at)


def broken(file: str, line: int, message: str, at: KeyPath = ()) -> Broken:
    """What is wrong, and where."""
    return Broken(Finding(file, line, ".".join(map(str, at)), message))
