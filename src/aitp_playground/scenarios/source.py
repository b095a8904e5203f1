"""Reading a YAML file into plain JSON data, with the line of every value.

Hostile input is bounded before it is built: bytes, nesting, and the number of values once aliases and includes are
expanded.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from aitp_playground.scenarios.findings import KeyPath, Mark, Marks
from aitp_playground.scenarios.folders import real, relative
from aitp_playground.scenarios.nodes import (
    MAX_DEPTH,
    TAG,
    Broken,
    broken,
    compose,
    merged_mappings,
    require_tag,
    scalar,
)
from aitp_playground.scenarios.stamps import Stamp, settled_stamp

MAX_BYTES = 256 * 1024
MAX_VALUES = 20_000
#: Steps of expanding: values, keys, and what merging copies. More than values, since a merge may bring none.
MAX_WORK = 100_000
#: Characters of all texts together, once aliases and includes are expanded.
MAX_TEXT = 4 * 1024 * 1024
MAX_INCLUDES = 8

_DATA_SUFFIXES = {".yaml", ".yml", ".json"}


@dataclass(frozen=True, slots=True)
class Document:
    """A file's data and marks. ``stamps``: every path it depends on, with its state just before it was read;
    ``sources``: the text of every file that it is made of, by its name in ``marks``."""

    data: Any
    marks: Marks
    stamps: dict[Path, Stamp]
    sources: dict[str, str]


def read_document(path: Path, root: Path) -> Document:
    """Read ``path``. Raises :class:`Broken`."""
    reader = _Reader(root)
    marks = Marks(relative(path, root))
    try:
        data = reader.read(path, marks, ())
    except Broken as broken:
        broken.stamps = reader.stamps
        raise
    return Document(data, marks, reader.stamps, reader.sources)


@dataclass
class _Reader:
    root: Path
    stamps: dict[Path, Stamp] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
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
            node = compose(text, file)
            return None if node is None else self._build(node, marks, at, path, file)
        finally:
            self.open_files = outer

    def _text(self, path: Path, file: str) -> str:
        found = real(path)
        if not found.is_relative_to(real(self.root)):
            raise broken(file, 1, "leads out of the scenarios directory")
        try:
            raw = _read(found)
        except OSError as problem:
            reason = os.strerror(problem.errno) if problem.errno else "is not a file"
            raise broken(file, 1, f"cannot be read: {reason}" if problem.errno else reason) from None
        except ValueError:
            raise broken(file, 1, "is not a file") from None
        if len(raw) > MAX_BYTES:
            raise broken(file, 1, f"is larger than {MAX_BYTES // 1024} KiB")
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as problem:
            raise broken(file, raw.count(b"\n", 0, problem.start) + 1, "is not UTF-8") from None
        self.sources[file] = text
        return text

    def _build(self, node: yaml.Node, marks: Marks, at: KeyPath, path: Path, file: str) -> Any:
        line = node.start_mark.line + 1
        self.values += 1
        if self.values > MAX_VALUES:
            raise broken(file, line, f"more than {MAX_VALUES} values once aliases and includes are expanded", at)
        self._work(1, line, file, at)
        if len(at) > MAX_DEPTH:
            raise broken(file, line, f"nested deeper than {MAX_DEPTH} levels", at[:4])
        if at not in marks:
            marks[at] = Mark(file, line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, marks, at, path, file)
        if isinstance(node, yaml.SequenceNode):
            require_tag(node, "seq", file, at)
            return [self._build(child, marks, (*at, i), path, file) for i, child in enumerate(node.value)]
        if node.tag == "!include":
            return self._include(node, marks, at, path, file)
        self._count_text(len(node.value), line, file, at)
        return scalar(node, file, at)

    def _work(self, steps: int, line: int, file: str, at: KeyPath) -> None:
        self.work += steps
        if self.work > MAX_WORK:
            raise broken(file, line, f"more than {MAX_WORK} steps to expand aliases, merges and includes", at[:4])

    def _count_text(self, length: int, line: int, file: str, at: KeyPath) -> None:
        self.text += length
        if self.text > MAX_TEXT:
            size = MAX_TEXT // 1024**2
            raise broken(file, line, f"more than {size} MiB of text once aliases and includes are expanded", at[:4])

    def _mapping(
        self, node: yaml.MappingNode, marks: Marks, at: KeyPath, path: Path, file: str, merging: tuple[int, ...] = ()
    ) -> dict[str, Any]:
        require_tag(node, "map", file, at)
        if id(node) in merging:
            raise broken(file, node.start_mark.line + 1, "<< merges a mapping into itself", at)
        if len(merging) > MAX_DEPTH:
            raise broken(file, node.start_mark.line + 1, f"<< merges deeper than {MAX_DEPTH} levels", at)
        merging = (*merging, id(node))
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == TAG + "merge":
                for source in merged_mappings(value_node, file, at):
                    found = self._mapping(source, marks, at, path, file, merging)
                    self._work(1 + len(found), line, file, at)
                    for key, value in found.items():
                        merged.setdefault(key, value)
                continue
            if isinstance(key_node, yaml.MappingNode):
                # {{ inputs.x }} without quotes is a mapping in a mapping.
                raise broken(file, line, 'a placeholder stands in quotes: "{{ inputs.name }}"', at)
            if key_node.tag != TAG + "str":
                raise broken(file, line, "a key must be text: put it in quotes", at)
            key = key_node.value
            if key in lines:
                raise broken(file, line, f"duplicate key {key!r}, first on line {lines[key]}", (*at, key))
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
            raise broken(file, line, f"!include {name!r} leads out of the scenarios directory", at)
        if leads_to in self.open_files:
            raise broken(file, line, f"!include {name!r} includes itself", at)
        if len(self.open_files) > MAX_INCLUDES:
            raise broken(file, line, f"more than {MAX_INCLUDES} includes inside each other", at)
        if not found:
            raise broken(file, line, f"!include {name!r} is not a file", at)
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
