"""Whether a manifest's entrypoint and interpreter can be started, as far as that is known without executing anything.

The module is looked for where a worker would find it; it and what it imports of the agents' directories is parsed.
"""

from __future__ import annotations

import ast
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path

from aitp_playground.scenarios.manifest_models import AgentManifestSpec

#: Files parsed for one entrypoint: a worker has a handful.
MAX_FILES = 200
MAX_BYTES = 1 << 20
#: Whoever writes these means the interpreter that the playground runs on, whatever PATH says.
THIS_PYTHON = frozenset({"python", "python3", f"python{sys.version_info[0]}.{sys.version_info[1]}"})


def entrypoint_faults(manifest: AgentManifestSpec, roots: Sequence[Path]) -> list[str]:
    """What is wrong with it, one sentence each. ``roots``: the agents' directories, in the order of a worker's path.

    A manifest with an interpreter or a PYTHONPATH of its own finds packages that cannot be known here: then only what
    lies in ``roots`` is looked at.
    """
    alone = manifest.host.python is None and "PYTHONPATH" not in manifest.host.env
    return list(_Search(tuple(map(str, roots)), alone).faults(manifest.entrypoint.type, manifest.entrypoint.value))


def absent_interpreter(python: str | None) -> bool:
    """Whether ``host.python`` is a whole path at which there is nothing: a pack may come from a machine that had it.

    The agent then runs on the playground's interpreter, and its run is unproven. Any other name must lead somewhere.
    """
    return python is not None and os.path.isabs(python) and not Path(python).exists()  # noqa: PTH117 - it stays text


def interpreter_doubt(python: str | None) -> str | None:
    """What is wrong with ``host.python`` on this machine, one sentence; None when it can be executed."""
    if absent_interpreter(python):
        return (
            f"there is no {python} here: the agent runs on the playground's own interpreter, without the packages of "
            "that one, and a run of it is unproven"
        )
    if python is None or python in THIS_PYTHON or shutil.which(python) is not None:
        return None
    return f"{python!r} is no program here that can be executed, so the agent does not start"


class _Search:
    def __init__(self, roots: tuple[str, ...], alone: bool) -> None:
        self._roots = roots
        self._path = [*roots, *sys.path] if alone else [*roots]
        self._alone = alone
        self._seen: set[str] = set()

    def faults(self, kind: str, value: str) -> Iterator[str]:
        if kind == "python_file":
            places = [Path(root).parent / value for root in self._roots]
            file = next((str(place) for place in places if place.is_file()), None)
            yield from self._file(file) if file else [f"there is no file {value}"]
        elif (missing := self._missing(value)) is not None:
            yield f"there is no module {missing!r}"
        else:
            yield from self._module(value)

    def _missing(self, name: str) -> str | None:
        """The first part of a dotted name that leads nowhere; None when all do, or when that cannot be known."""
        path: list[str] | None = self._path
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            part = ".".join(parts[:length])
            if part in sys.builtin_module_names:
                return None
            spec = PathFinder.find_spec(part, path)
            if spec is None:
                return part if self._alone or length > 1 else None
            if not self._is_ours(spec.origin) and spec.origin is not None:
                return None  # packages may make their modules as they please
            path = list(spec.submodule_search_locations or [])
        return None

    def _module(self, name: str) -> Iterator[str]:
        """The module's file and those of the packages around it."""
        path: list[str] | None = self._path
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            spec = PathFinder.find_spec(".".join(parts[:length]), path)
            if spec is None:
                return
            if self._is_ours(spec.origin):
                yield from self._file(str(spec.origin))
            path = list(spec.submodule_search_locations or [])

    def _is_ours(self, origin: str | None) -> bool:
        return origin is not None and any(Path(origin).is_relative_to(root) for root in self._roots)

    def _file(self, file: str) -> Iterator[str]:
        if file in self._seen or len(self._seen) >= MAX_FILES or not file.endswith(".py"):
            return
        self._seen.add(file)
        try:
            with open(file, "rb") as stream:  # noqa: PTH123 - no more of it than is needed
                tree = ast.parse(stream.read(MAX_BYTES))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as fault:
            line = getattr(fault, "lineno", None)
            at = f"{file}:{line}" if line else file
            yield f"{at} is not Python: {getattr(fault, 'msg', None) or 'it cannot be parsed'}"
            return
        except OSError as failure:
            yield f"{file} cannot be read: {failure.strerror}"
            return
        for line, name in _imports(tree):
            if (missing := self._missing(name)) is not None:
                yield f"{file}:{line} imports {missing!r}, which is nowhere"
            else:
                yield from self._module(name)


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """What is imported whenever the module is: not in a function, and not where its absence is provided for."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module
