"""Say what is wrong with the source as a whole; the exit code is 1 when something is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tests.checks.circles import circles, imports_of
from tests.checks.clocks import dated_at_collection
from tests.checks.lengths import MOST_LINES, too_long

ROOT = Path(__file__).resolve().parents[2]

#: Tables of rows: length is no matter where every line is like the others.
TABLES = {"src/aitp_playground/events/vocabulary.py"}


def faults() -> Iterator[str]:
    for circle in sorted(circles(imports_of([ROOT / "src", ROOT / "agents"])), key=sorted):
        yield f"these modules import each other in a circle: {', '.join(sorted(circle))}"
    for file, lines in sorted(too_long([ROOT / "src", ROOT / "agents"]).items()):
        name = file.relative_to(ROOT).as_posix()
        if name not in TABLES:
            yield f"{name} has {lines} lines, more than {MOST_LINES}: break it up"
    for file, numbers in sorted(dated_at_collection([ROOT / "tests"]).items()):
        where = ", ".join(map(str, numbers))
        yield f"{file.relative_to(ROOT).as_posix()} reads a clock when it is collected, line {where}: do it in the test"


if __name__ == "__main__":
    said = list(faults())
    for fault in said:
        print(fault)
    sys.exit(bool(said))
