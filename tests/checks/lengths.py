"""Files that are too long to be read in one go."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

MOST_LINES = 299


def too_long(roots: Iterable[Path], most: int = MOST_LINES) -> dict[Path, int]:
    """Python files of more than ``most`` lines, with how many they have."""
    counted = {file: len(file.read_bytes().splitlines()) for root in roots for file in sorted(root.rglob("*.py"))}
    return {file: lines for file, lines in counted.items() if lines > most}
