"""What processes hold and have used, as the kernel counts it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def private_mb(pid: int) -> float | None:
    """Memory that nobody else shares; None when the process is gone."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_")) / 1024


def resident_mb(pid: int) -> float:
    """Memory that the process has in RAM."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def descriptors(pid: int) -> list[str]:
    """What its descriptors lead to."""
    found = []
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(str(entry.readlink()))
    return found


def descendants(pid: int) -> list[int]:
    """The process and all that it has started, directly or not."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    family = [pid]
    for member in family:
        family.extend(child for child, parent in parents.items() if parent == member)
    return family


def cpu_seconds(pid: int) -> tuple[float, float]:
    """What the process itself has used, and what all below it have, those that are gone included."""
    own = _times(pid)
    below = own[2:] + tuple(part for child in descendants(pid)[1:] for part in _times(child))
    return _seconds(own[:2]), _seconds(below)


def _times(pid: int) -> tuple[int, ...]:
    """User and system time of its own, then those of children that it has buried."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return (0, 0, 0, 0)
    return tuple(int(field) for field in fields[11:15])


def _seconds(ticks: Sequence[int]) -> float:
    return sum(ticks) / _TICKS
