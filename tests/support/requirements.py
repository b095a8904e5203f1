"""A table of what the standard asks, which test shows it, and how that ended: ``pytest --requirements FILE``.

A test says what it is for with ``@pytest.mark.requirement("RFC-AITP-0004 3.3", "the grant voucher is optional")``, as
often as it shows something. ``FILE`` becomes JSON if its name ends so, Markdown else.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

MARKER = "requirement(section, sentence): what of the standard the test shows"
HEAD = "| Section | Requirement | Test | Result |"
_PROPERTY = "requirement"
#: Worst first: what several runs of one test come to.
_RESULTS = ("failed", "skipped", "passed")


@dataclass
class Table:
    """Results by section and sentence, then by test; a test with parameters is one test with several results."""

    rows: dict[tuple[str, str], dict[str, Counter[str]]] = field(default_factory=dict)

    def add(self, report: pytest.TestReport) -> None:
        """Take in one phase of one test: its call, or what kept it from being called or tidied up."""
        if report.when != "call" and report.passed:
            return
        for name, value in report.user_properties:
            if name == _PROPERTY:
                section, sentence = map(str, value)  # type: ignore[call-overload]
                tests = self.rows.setdefault((section, sentence), {})
                tests.setdefault(report.nodeid.partition("[")[0], Counter())[report.outcome] += 1

    def _sorted(self) -> Iterator[tuple[str, str, list[tuple[str, Counter[str]]]]]:
        for (section, sentence), tests in sorted(self.rows.items()):
            yield section, sentence, sorted(tests.items())

    def as_json(self) -> str:
        rows = [
            {
                "section": section,
                "requirement": sentence,
                "result": _worst(counts for _, counts in tests),
                "tests": [{"test": test, "result": _worst([counts]), "runs": dict(counts)} for test, counts in tests],
            }
            for section, sentence, tests in self._sorted()
        ]
        return json.dumps({"requirements": rows}, indent=2) + "\n"

    def as_markdown(self) -> str:
        lines = [HEAD, "| --- | --- | --- | --- |"]
        for section, sentence, tests in self._sorted():
            for test, counts in tests:
                result = ", ".join(f"{counts[name]} {name}" for name in _RESULTS if counts[name])
                lines.append(f"| {section} | {_cell(sentence)} | `{test}` | {result} |")
        return "\n".join(lines) + "\n"


def _worst(counted: Iterable[Counter[str]]) -> str:
    seen = set().union(*counted)
    return next(name for name in _RESULTS if name in seen)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


class Writer:
    """Collects the results, also those of the workers of a distributed run, and writes the table at the end."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._table = Table()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._table.add(report)

    def pytest_sessionfinish(self) -> None:
        self._file.write_text(self._text(), encoding="utf-8")

    def _text(self) -> str:
        if self._file.suffix == ".json":
            return self._table.as_json()
        # A page says above its table what it is.
        before = self._file.read_text("utf-8") if self._file.exists() else ""
        above, head, _ = before.partition(HEAD)
        return (above if head else "") + self._table.as_markdown()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--requirements", metavar="FILE", help="write which requirement is shown by which test, and how")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    file = config.getoption("--requirements")
    if file and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Writer(Path(file)), "requirements-writer")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the marks where they travel with a report."""
    for item in items:
        for mark in item.iter_markers("requirement"):
            section, sentence = mark.args
            item.user_properties.append((_PROPERTY, [section, sentence]))
