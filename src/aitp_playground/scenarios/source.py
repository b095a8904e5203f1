"""Reading a YAML file into plain JSON data, with the line of every value.

The grammar is YAML; plain scalars are read much as by the core schema of YAML 1.2 (so ``no`` is text), because what
comes out must be JSON. Hostile input is bounded before it is built: bytes, nesting, and the number of values once
aliases and includes are expanded.
"""

from __future__ import annotations

import math
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from aitp_playground.scenarios.findings import Finding, KeyPath, Mark, Marks
from aitp_playground.scenarios.folders import real, relative

MAX_BYTES = 256 * 1024
MAX_DEPTH = 40
MAX_VALUES = 20_000
#: Steps of expanding: values, keys, and what merging copies. More than values, since a merge may bring none.
MAX_WORK = 100_000
#: Characters of all texts together, once aliases and includes are expanded.
MAX_TEXT = 4 * 1024 * 1024
MAX_INCLUDES = 8

#: ``(mtime_ns, size, inode)``; None for a path that is not there.
Stamp = tuple[int, int, int] | None
_UNSETTLED: Stamp = (-1, -1, -1)
# A file written twice within one tick of the file system's clock shows one mtime for both contents.
_CLOCK_TICK_NS = 50_000_000

_TAG = "tag:yaml.org,2002:"
_DATA_SUFFIXES = {".yaml", ".yml", ".json"}


def stamp(path: Path) -> Stamp:
    """What tells this state of a file or directory from another."""
    try:
        seen = path.stat()
    except (OSError, ValueError):
        return None
    return seen.st_mtime_ns, seen.st_size, seen.st_ino


def settled_stamp(path: Path) -> Stamp:
    """:func:`stamp`, or one that never compares equal while the file's clock could not tell a second write."""
    seen = stamp(path)
    return _UNSETTLED if seen is not None and time.time_ns() - seen[0] < _CLOCK_TICK_NS else seen


class Broken(Exception):
    """A document that cannot be used. ``stamps``: what it depends on, so that a repair is noticed."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding
        self.stamps: dict[Path, Stamp] = {}


@dataclass(frozen=True, slots=True)
class Document:
    """A file's data and marks. ``stamps``: every path it depends on, with its state just before it was read."""

    data: Any
    marks: Marks
    stamps: dict[Path, Stamp]


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
            entry = (_TAG + name, re.compile(rf"^(?:{pattern})$"))
            _Loader.yaml_implicit_resolvers.setdefault(letter, []).append(entry)


_resolve_scalars()


def read_document(path: Path, root: Path) -> Document:
    """Read ``path``. Raises :class:`Broken`."""
    reader = _Reader(root)
    marks = Marks(relative(path, root))
    try:
        data = reader.read(path, marks, ())
    except Broken as broken:
        broken.stamps = reader.stamps
        raise
    return Document(data, marks, reader.stamps)


@dataclass
class _Reader:
    root: Path
    stamps: dict[Path, Stamp] = field(default_factory=dict)
    values: int = 0
    work: int = 0
    text: int = 0
    open_files: tuple[Path, ...] = ()

    def read(self, path: Path, marks: Marks, at: KeyPath) -> Any:
        self.stamps[path] = settled_stamp(path)
        file = relative(path, self.root)
        text = self._text(path, file)
        outer, self.open_files = self.open_files, (*self.open_files, real(path))
        try:
            node = _compose(text, file)
            return None if node is None else self._build(node, marks, at, path, file)
        finally:
            self.open_files = outer

    def _text(self, path: Path, file: str) -> str:
        found = real(path)
        if not found.is_relative_to(real(self.root)):
            raise _broken(file, 1, "leads out of the scenarios directory")
        try:
            raw = _read(found)
        except OSError as problem:
            reason = os.strerror(problem.errno) if problem.errno else "is not a file"
            raise _broken(file, 1, f"cannot be read: {reason}" if problem.errno else reason) from None
        except ValueError:
            raise _broken(file, 1, "is not a file") from None
        if len(raw) > MAX_BYTES:
            raise _broken(file, 1, f"is larger than {MAX_BYTES // 1024} KiB")
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError as problem:
            raise _broken(file, raw.count(b"\n", 0, problem.start) + 1, "is not UTF-8") from None

    def _build(self, node: yaml.Node, marks: Marks, at: KeyPath, path: Path, file: str) -> Any:
        line = node.start_mark.line + 1
        self.values += 1
        if self.values > MAX_VALUES:
            raise _broken(file, line, f"more than {MAX_VALUES} values once aliases and includes are expanded", at)
        self._work(1, line, file, at)
        if len(at) > MAX_DEPTH:
            raise _broken(file, line, f"nested deeper than {MAX_DEPTH} levels", at[:4])
        if at not in marks:
            marks[at] = Mark(file, line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, marks, at, path, file)
        if isinstance(node, yaml.SequenceNode):
            _require_tag(node, "seq", file, at)
            return [self._build(child, marks, (*at, i), path, file) for i, child in enumerate(node.value)]
        if node.tag == "!include":
            return self._include(node, marks, at, path, file)
        self._count_text(len(node.value), line, file, at)
        return _scalar(node, file, at)

    def _work(self, steps: int, line: int, file: str, at: KeyPath) -> None:
        self.work += steps
        if self.work > MAX_WORK:
            raise _broken(file, line, f"more than {MAX_WORK} steps to expand aliases, merges and includes", at[:4])

    def _count_text(self, length: int, line: int, file: str, at: KeyPath) -> None:
        self.text += length
        if self.text > MAX_TEXT:
            size = MAX_TEXT // 1024**2
            raise _broken(file, line, f"more than {size} MiB of text once aliases and includes are expanded", at[:4])

    def _mapping(
        self, node: yaml.MappingNode, marks: Marks, at: KeyPath, path: Path, file: str, merging: tuple[int, ...] = ()
    ) -> dict[str, Any]:
        _require_tag(node, "map", file, at)
        if id(node) in merging:
            raise _broken(file, node.start_mark.line + 1, "<< merges a mapping into itself", at)
        if len(merging) > MAX_DEPTH:
            raise _broken(file, node.start_mark.line + 1, f"<< merges deeper than {MAX_DEPTH} levels", at)
        merging = (*merging, id(node))
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _TAG + "merge":
                for source in _merged_mappings(value_node, file, at):
                    found = self._mapping(source, marks, at, path, file, merging)
                    self._work(1 + len(found), line, file, at)
                    for key, value in found.items():
                        merged.setdefault(key, value)
                continue
            if key_node.tag != _TAG + "str":
                raise _broken(file, line, "a key must be text: put it in quotes", at)
            key = key_node.value
            if key in lines:
                raise _broken(file, line, f"duplicate key {key!r}, first on line {lines[key]}", (*at, key))
            lines[key] = line
            marks[(*at, key)] = Mark(file, line)
            own[key] = self._build(value_node, marks, (*at, key), path, file)
        return {**merged, **own}

    def _include(self, node: yaml.Node, marks: Marks, at: KeyPath, path: Path, file: str) -> Any:
        line = node.start_mark.line + 1
        name = str(node.value)
        target = path.parent / name
        self.stamps[target] = settled_stamp(target)
        try:
            leads_to = real(target)
            inside = bool(name) and not Path(name).is_absolute() and leads_to.is_relative_to(real(self.root))
            found = inside and leads_to.is_file()
        except (OSError, ValueError):
            inside = found = False
        if not inside:
            raise _broken(file, line, f"!include {name!r} leads out of the scenarios directory", at)
        if leads_to in self.open_files:
            raise _broken(file, line, f"!include {name!r} includes itself", at)
        if len(self.open_files) > MAX_INCLUDES:
            raise _broken(file, line, f"more than {MAX_INCLUDES} includes inside each other", at)
        if not found:
            raise _broken(file, line, f"!include {name!r} is not a file", at)
        if target.suffix not in _DATA_SUFFIXES:
            text = self._text(leads_to, relative(leads_to, self.root))
            self._count_text(len(text), line, file, at)
            return text
        return self.read(leads_to, marks, at)


def _read(path: Path) -> bytes:
    """At most one byte more than is taken. Raises OSError, without an errno for what is no file."""
    # A pipe without a writer must not be waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("is not a file")
        return stream.read(MAX_BYTES + 1)


def _compose(text: str, file: str) -> yaml.Node | None:
    try:
        _check_nesting(text, file)
        loader = _Loader(text)
        try:
            node: yaml.Node | None = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        raise _broken(file, mark.line + 1 if mark else 1, f"not YAML: {problem.problem or problem.context}") from None
    except yaml.YAMLError as problem:
        position = getattr(problem, "position", 0)
        raise _broken(file, text.count("\n", 0, position) + 1, f"not YAML: {problem}".splitlines()[0]) from None
    return node


def _check_nesting(text: str, file: str) -> None:
    # The composer recurses natively, without Python's guard against a too deep stack.
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise _broken(file, line, f"nested deeper than {MAX_DEPTH} levels")


def _merged_mappings(node: yaml.Node, file: str, at: KeyPath) -> Iterator[yaml.MappingNode]:
    for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        if not isinstance(source, yaml.MappingNode):
            raise _broken(file, node.start_mark.line + 1, "<< takes a mapping or a list of mappings", at)
        yield source


def _scalar(node: yaml.Node, file: str, at: KeyPath) -> Any:
    text = str(node.value)
    try:
        match node.tag.removeprefix(_TAG):
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
        raise _broken(file, node.start_mark.line + 1, f"{text[:40]!r} is no JSON value: put it in quotes", at) from None
    raise _broken(file, node.start_mark.line + 1, f"the tag {node.tag!r} is not supported; only !include is", at)


def _bounded(number: float) -> float:
    if not math.isfinite(number) or (isinstance(number, int) and not -(2**63) <= number < 2**63):
        raise ValueError
    return number


def _require_tag(node: yaml.Node, kind: str, file: str, at: KeyPath) -> None:
    if node.tag != _TAG + kind:
        raise _broken(file, node.start_mark.line + 1, f"the tag {node.tag!r} is not supported; only !include is", at)


def _broken(file: str, line: int, message: str, at: KeyPath = ()) -> Broken:
    return Broken(Finding(file, line, ".".join(map(str, at)), message))
