"""What lies in a directory of scenarios: whatever is wrong with one entry is a finding about that entry alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from aitp_playground.scenarios.findings import Finding

Kind = Literal["directory", "file", "other"]


def real(path: Path) -> Path:
    """``path`` with its links followed. Unlike ``resolve``, it takes a circle of links for what it is: nothing."""
    return Path(os.path.realpath(path))


def relative(path: Path, root: Path) -> str:
    """``path`` as findings show it."""
    name = path.name
    for base, place in ((root, path), (real(root), real(path))):
        if place.is_relative_to(base):
            name = place.relative_to(base).as_posix()
            break
    return name.encode("utf-8", "replace").decode()


def subfolders(folder: Path, root: Path, findings: list[Finding]) -> list[Path]:
    """The directories in ``folder``, by name, that are not set apart by a leading ``_`` or ``.``."""
    return [path for path in _entries(folder, root, findings, apart="_.") if kind(path, root, findings) == "directory"]


def files(folder: Path, root: Path, suffixes: Collection[str], findings: list[Finding]) -> list[Path]:
    """What bears one of the ``suffixes`` in ``folder``, by name, whatever it is; hidden files are passed over, among
    them the companions that editors and other systems leave (``.#x.yaml``, ``._x.yaml``)."""
    if not os.path.lexists(folder):
        return []
    return [path for path in _entries(folder, root, findings, apart=".") if path.suffix in suffixes]


def kind(path: Path, root: Path, findings: list[Finding]) -> Kind | None:
    """What ``path`` is, links followed; None, and a finding, for what cannot be told."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as problem:
        findings.append(Finding(relative(path, root), 1, "", _reason(path, problem)))
        return None
    if stat.S_ISDIR(mode):
        return "directory"
    return "file" if stat.S_ISREG(mode) else "other"


def _entries(folder: Path, root: Path, findings: list[Finding], *, apart: str) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.name[0] not in apart)
    except OSError as problem:
        findings.append(Finding(relative(folder, root) or ".", 1, "", _reason(folder, problem)))
        return []


def _reason(path: Path, problem: OSError | ValueError) -> str:
    if isinstance(problem, FileNotFoundError) and path.is_symlink():
        return "is a link that leads nowhere"
    if isinstance(problem, OSError) and problem.errno:
        return f"cannot be read: {os.strerror(problem.errno)}"
    return "cannot be read"
