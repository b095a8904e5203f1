"""Say what is wrong with the source as a whole; the exit code is 1 when something is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tests.checks.circles import circles, imports_of
from tests.checks.lengths import MOST_LINES, too_long

ROOT = Path(__file__).resolve().parents[2]

#: Tables of rows: length is no matter where every line is like the others.
TABLES = {"src/aitp_playground/events/vocabulary.py"}
#: To be broken up; take a file off when it is.
LONG = {
    "src/aitp_playground/store/sqlite.py",
}
#: To be broken; take a circle off when it is.
CIRCLES = {
    frozenset(f"aitp_playground.actors.{name}" for name in ("actor", "cell", "incarnation", "ref")),
}


def faults() -> Iterator[str]:
    found = set(circles(imports_of([ROOT / "src", ROOT / "agents"])))
    for circle in sorted(found - CIRCLES, key=sorted):
        yield f"these modules import each other in a circle: {', '.join(sorted(circle))}"
    for circle in sorted(CIRCLES - found, key=sorted):
        yield f"no such circle any more, take it off the list in tests/checks: {', '.join(sorted(circle))}"
    files = too_long([ROOT / "src", ROOT / "agents"])
    long = {file.relative_to(ROOT).as_posix(): lines for file, lines in files.items()}
    for name in sorted(long.keys() - LONG - TABLES):
        yield f"{name} has {long[name]} lines, more than {MOST_LINES}: break it up"
    for name in sorted(LONG - long.keys()):
        yield f"{name} is short enough now, take it off the list in tests/checks"


if __name__ == "__main__":
    said = list(faults())
    for fault in said:
        print(fault)
    sys.exit(bool(said))
