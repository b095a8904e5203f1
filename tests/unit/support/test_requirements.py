"""The table of requirements: from marks and results to JSON and Markdown."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from tests.support.requirements import HEAD

pytest_plugins = ["pytester"]

TESTS = """
    import pytest

    @pytest.mark.requirement("RFC-AITP-0004 3.3", "the voucher is optional")
    @pytest.mark.parametrize("n", [1, 2])
    def test_voucher(n):
        pass

    @pytest.mark.requirement("RFC-AITP-0004 3.3", "the voucher is optional")
    @pytest.mark.requirement("RFC-AITP-0001 5.6", "an error says a | b")
    def test_error():
        assert False

    @pytest.mark.requirement("RFC-AITP-0008 1.4", "a list is served")
    def test_list():
        pytest.skip("no list here")

    @pytest.fixture
    def broken():
        raise RuntimeError

    @pytest.mark.requirement("RFC-AITP-0008 1.5", "a list is signed")
    def test_signed(broken):
        pass

    def test_something_else():
        pass
"""
VOUCHER = {
    "section": "RFC-AITP-0004 3.3",
    "requirement": "the voucher is optional",
    "result": "failed",
    "tests": [
        {"test": "test_it.py::test_error", "result": "failed", "runs": {"failed": 1}},
        {"test": "test_it.py::test_voucher", "result": "passed", "runs": {"passed": 2}},
    ],
}


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A test run of its own, with the plugin."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    pytester.makeconftest("from tests.support.requirements import *")
    pytester.makepyfile(test_it=TESTS)
    return pytester


@pytest.mark.parametrize("spread", [[], ["-n", "2"]], ids=["in one process", "in several"])
def test_json_says_what_was_shown_by_what(inner: pytest.Pytester, spread: list[str]) -> None:
    inner.runpytest_subprocess("--strict-markers", "--requirements", "table.json", "-p", "no:cacheprovider", *spread)
    rows = json.loads((inner.path / "table.json").read_text())["requirements"]
    assert [row["section"] for row in rows] == [
        "RFC-AITP-0001 5.6",
        "RFC-AITP-0004 3.3",
        "RFC-AITP-0008 1.4",
        "RFC-AITP-0008 1.5",
    ]
    assert rows[1] == VOUCHER
    assert [row["result"] for row in rows] == ["failed", "failed", "skipped", "failed"]


def test_markdown_is_a_table_with_a_row_per_requirement_and_test(inner: pytest.Pytester) -> None:
    inner.runpytest_subprocess("--requirements", "table.md", "-p", "no:cacheprovider")
    lines = (inner.path / "table.md").read_text().splitlines()
    assert lines[0] == "| Section | Requirement | Test | Result |"
    assert lines[2] == "| RFC-AITP-0001 5.6 | an error says a \\| b | `test_it.py::test_error` | 1 failed |"
    assert "| RFC-AITP-0004 3.3 | the voucher is optional | `test_it.py::test_voucher` | 2 passed |" in lines
    assert len(lines) == 2 + 5


def test_nothing_is_written_unasked(inner: pytest.Pytester) -> None:
    inner.runpytest_subprocess("-p", "no:cacheprovider")
    assert not list(inner.path.glob("table*"))


def test_what_stands_above_the_table_of_a_page_stays(inner: pytest.Pytester) -> None:
    page = inner.path / "page.md"
    page.write_text(f"# Title\n\nWhat it is.\n\n{HEAD}\n| --- | --- | --- | --- |\n| old | old | old | old |\n")
    inner.runpytest_subprocess("--requirements", "page.md", "-p", "no:cacheprovider")
    text = page.read_text()
    assert text.startswith(f"# Title\n\nWhat it is.\n\n{HEAD}\n")
    assert "| old |" not in text
    assert "the voucher is optional" in text


def test_the_page_has_the_requirements_that_the_tests_show() -> None:
    """By the marks in the sources: results are for a run to say."""
    root = Path(__file__).resolve().parents[3]
    rows = [
        line.split(" | ") for line in (root / "docs" / "requirements.md").read_text().splitlines() if ".py::" in line
    ]
    shown = {row[2].strip("`").partition("::")[2] for row in rows}
    marked = set()
    # What is tested of the foreign agent itself shows nothing of ours.
    for file in sorted({*(root / "tests" / "interop").glob("test_*.py")} - {root / "tests/interop/test_foreign.py"}):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                marked.add(node.name)
    assert shown <= marked, "a test of the page is gone: make requirements"
    assert {row[3].removesuffix(" |").split(" ", 1)[1] for row in rows} == {"passed"}
    assert marked <= shown, "a test is not on the page: make requirements"
