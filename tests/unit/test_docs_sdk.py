"""The page on the protocol says where the SDK is called: each name in each file, and the tests that show what it leaves
open."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import aitp
import pytest

from .test_docs_pages import DOCS, ROOT

PAGE = (DOCS / "aitp-integration.md").read_text("utf-8")
CODE = {"agents/base/": ROOT / "agents", "src/aitp_playground/": ROOT / "src"}
#: Methods of the SDK's objects that are known by their name wherever they stand.
METHODS = {
    name
    for cls in (aitp.AitpAgent, aitp.InitiatorSession, aitp.ResponderSession, aitp.SpkiPinVerifier)
    for name in vars(cls)
    if "_" in name.strip("_") and not name.startswith("_")
}


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def annotations(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if (found := getattr(node, name, None)) is not None:
                yield from ast.walk(found)


def names_in(tree: ast.AST) -> set[str]:
    """What of the SDK is used, types in annotations apart; of a class's method the method."""
    passed_over = {id(node) for node in annotations(tree)}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "aitp":
            found |= {alias.name for alias in node.names}
        if not isinstance(node, ast.Attribute) or id(node) in passed_over:
            continue
        holder = ast.unparse(node.value)
        if node.attr in METHODS or holder == "aitp.AitpAgent" or (holder == "aitp" and node.attr != "AitpAgent"):
            found.add(node.attr)
    return found


def used() -> dict[str, set[str]]:
    """Name → the files that use it, as the page names them."""
    found: dict[str, set[str]] = {}
    for folder in CODE.values():
        for path in sorted(folder.rglob("*.py")):
            file = path.relative_to(ROOT).as_posix().removeprefix("agents/base/")
            for name in names_in(ast.parse(path.read_text("utf-8"))):
                found.setdefault(name, set()).add(file)
    return found


def told() -> dict[str, set[str]]:
    rows = re.findall(r"^\| (`[^|]*`) \| (`[^|]*`) \| (.+) \|$", section("Where the SDK is called"), re.MULTILINE)
    found: dict[str, set[str]] = {}
    for name, files, _ in rows:
        short = name.strip("`").rpartition(".")[2]
        assert short not in found, "named twice"
        found[short] = set(re.findall(r"`([^`]+)`", files))
    return found


def test_every_use_of_the_sdk_is_on_the_page_with_its_file() -> None:
    assert told() == used()


def test_what_the_page_calls_the_sdks_is() -> None:
    for name in re.findall(r"^\| `([\w.]+)` \|", section("Where the SDK is called"), re.MULTILINE):
        holder: object = aitp
        for part in name.split("."):
            holder = getattr(holder, part)


def shown_by() -> list[tuple[str, str]]:
    cells = re.findall(r"`((?:\w+/)*test_\w+\.py)::(test_\w+)`", section("What the SDK leaves open"))
    assert len(cells) > 12
    return sorted(set(cells))


@pytest.mark.parametrize(("file", "name"), shown_by())
def test_what_is_said_to_be_shown_is_shown_by_a_test(file: str, name: str) -> None:
    assert f"def {name}(" in (ROOT / "tests" / file).read_text("utf-8")


def test_every_open_corner_names_what_shows_it() -> None:
    rows = re.findall(r"^\| (.*) \| (.*) \| (.*) \|$", section("What the SDK leaves open"), re.MULTILINE)[2:]
    assert len(rows) > 12
    assert [corner for corner, _, shown in rows if "::test_" not in shown] == []


def test_the_files_of_the_page_are_there() -> None:
    for file in re.findall(r"`((?:protocol/|http/|src/|process/)[\w/]+\.py)`", PAGE):
        assert Path(ROOT / file).is_file() or Path(ROOT / "agents/base" / file).is_file(), file
