"""How figures are told: the machine once, then each with its median, its spread and its target."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """``target`` is the bound, ``at_most`` its direction; None: no target, a figure to know."""

    name: str
    samples: Sequence[float]
    unit: str
    target: float | None = None
    at_most: bool = True
    note: str = ""

    def line(self) -> str:
        ordered = sorted(self.samples)
        median = statistics.median(ordered)
        low, high = ordered[int(len(ordered) * 0.05)], ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
        told = f"{self.name:<46} {median:>10,.1f} {self.unit:<9} p5..p95 {low:,.1f}..{high:,.1f}  n={len(ordered)}"
        if self.target is not None:
            met = median <= self.target if self.at_most else median >= self.target
            told += f"  target {'≤' if self.at_most else '≥'} {self.target:,g}: {'met' if met else 'MISSED'}"
        return f"{told}  {self.note}".rstrip()


def machine() -> str:
    """One line about what this was measured on."""
    model = "unknown processor"
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, load {load}"
    )
