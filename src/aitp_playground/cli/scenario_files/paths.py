"""The scenarios directory that a path given by a user lies in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aitp_playground.cli.process.settings import load_settings
from aitp_playground.errors import InvalidRequest
from aitp_playground.scenarios.findings import Finding

#: ``<root>/<pack>/<scenario>/<version>/templates/<name>.yaml`` is as deep as it gets.
_DEEPEST = 5
#: ``<root>/<pack>/<scenario>/<version>/scenario.yaml``
_SCENARIO_DEPTH = 3
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Place:
    """``root``: a scenarios directory; ``inner``: the path below it that was asked for, "" for all of it."""

    root: Path
    inner: str = ""

    def covers(self, finding: Finding) -> bool:
        """Whether the finding is about what was asked for."""
        return not self.inner or finding.file == self.inner or finding.file.startswith(f"{self.inner}/")

    def shown(self, finding: Finding) -> str:
        """The finding's file as the user may open it, relative to where they are when it is below."""
        path = self.root / finding.file
        here = Path.cwd()
        return str(path.relative_to(here) if path.is_relative_to(here) else path)


def beside(root: Path) -> list[Path]:
    """The other scenarios directories of the settings, whose manifests a scenario may name."""
    return [other for other in load_settings().scenario_roots if other.resolve() != root]


def places(paths: Sequence[Path]) -> list[Place]:
    """Where to look; without paths, every scenarios directory of the settings.

    Raises InvalidRequest where there would be nothing to look at: "no errors" is said of files that were read.
    """
    if not paths:
        return [_configured(root) for root in load_settings().scenario_roots]
    return [_place(path) for path in paths]


def _configured(root: Path) -> Place:
    if not root.is_dir():
        raise InvalidRequest(f"SCENARIOS_DIR names {root}, which is no directory")
    _refuse_empty(root)
    if _root_around(root.resolve()) is None:
        raise InvalidRequest(f"SCENARIOS_DIR names {root}, which has no packs (with a pack.yaml) and no _shared/agents")
    return Place(root.resolve())


def _place(given: Path) -> Place:
    if not given.exists():
        raise InvalidRequest(f"{given} is not there")
    if not given.is_dir() and (not given.is_file() or given.suffix not in _SUFFIXES):
        raise InvalidRequest(f"{given} is neither a directory nor a YAML file")
    _refuse_empty(given)
    path = given.resolve()
    start = path if path.is_dir() else path.parent
    root = _root_around(start)
    if root is None:
        raise InvalidRequest(
            f"{given} is in no scenarios directory: one has packs (with a pack.yaml) or _shared/agents"
        )
    inner = path.relative_to(root).as_posix()
    return Place(root, "" if inner == "." else inner)


def _refuse_empty(path: Path) -> None:
    """What cannot be read, or holds no file to look at."""
    try:
        if path.is_dir():
            os.scandir(path).close()
            # What cannot be read further down is a finding of its own.
            if not any(name.endswith(_SUFFIXES) for _, _, names in os.walk(path) for name in names):
                raise InvalidRequest(f"{path} holds no YAML file: there is nothing to check")
        else:
            path.open("rb").close()
    except OSError as failure:
        raise InvalidRequest(f"{failure.filename or path} cannot be read: {failure.strerror}") from None


def _root_around(start: Path) -> Path | None:
    for candidate in [start, *list(start.parents)[:_DEEPEST]]:
        if (candidate / "_shared").is_dir() or _any(candidate.glob("*/pack.yaml")):
            return candidate
    # Without a pack.yaml anywhere, the shape of the tree still tells.
    for depth in range(_SCENARIO_DEPTH + 1):
        if _any(start.glob("*/" * depth + "scenario.yaml")):
            return [start, *start.parents][_SCENARIO_DEPTH - depth]
    return None


def _any(found: Iterable[Path]) -> bool:
    return next(iter(found), None) is not None
