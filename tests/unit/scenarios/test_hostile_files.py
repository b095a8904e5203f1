"""Whatever lies in a scenarios directory costs that entry alone, is listed with its place, and is soon read."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from aitp_playground.scenarios import folders
from aitp_playground.scenarios.findings import Finding

from .conftest import HELLO, SCENARIO, Tree

GOOD = "demo/hello@1.0.0"
BAD = "demo/bad/1.0.0/scenario.yaml"


async def look(tree: Tree) -> tuple[list[str], list[Finding]]:
    """The refs that can be used, and everything that is said about the rest."""
    catalog = tree.catalog()
    async with asyncio.timeout(300):
        scenarios, errors = await catalog.scenarios()
        warnings = await catalog.warnings()
    return [loaded.ref for loaded in scenarios], [*errors, *warnings]


def lattice(levels: int, width: int, innermost: str) -> str:
    """Mappings that each merge the one before, many times over."""
    lines = [f"  l0: &l0 {innermost}"]
    for level in range(1, levels):
        aliases = ", ".join([f"*l{level - 1}"] * width)
        lines.append(f"  l{level}: &l{level} {{<<: [{aliases}]}}")
    return "\n".join(lines)


HOSTILE_YAML = {
    "a lattice of merges that bring nothing": f"x-l:\n{lattice(10, 10, '{}')}\n",
    "a lattice of merges that bring something": f"x-l:\n{lattice(12, 12, '{a: 1}')}\n",
    "a lattice of lists": "x-l:\n  - &a [1,1,1,1]\n  - &b [*a,*a,*a,*a,*a,*a,*a,*a]\n"
    "  - &c [*b,*b,*b,*b,*b,*b,*b,*b]\n  - &d [*c,*c,*c,*c,*c,*c,*c,*c]\n  - [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
    "a mapping that merges itself": "x-m: &m {<<: *m}\n",
    "a mapping that merges one that merges it": "x-m: &m\n  inner: &n {<<: *m}\n  <<: *n\n",
    "a list inside itself": "x-m: &m [*m]\n",
    "a long text many times": f"x-t: &t {'x' * 200_000}\nx-u: [{', '.join(['*t'] * 2000)}]\n",
    "merges inside merges": "x-m:\n  a: &a0 {}\n" + "".join(f"  b{n}: &a{n} {{<<: *a{n - 1}}}\n" for n in range(1, 90)),
}


@pytest.mark.parametrize("text", ["- \n" * 80_000, "-\n" * 120_000, "[" + "[]," * 80_000 + "]"])
async def test_what_is_full_of_nothing_is_counted_before_it_is_built(tree: Tree, text: str) -> None:
    tree.write(BAD, text)
    refs, [finding] = await look(tree)
    assert (refs, finding.file) == ([GOOD], BAD)
    assert finding.message == "more than 60000 keys and values"


@pytest.mark.parametrize("text", HOSTILE_YAML.values(), ids=HOSTILE_YAML)
async def test_a_file_that_would_take_for_ever_to_expand_is_one_finding(tree: Tree, text: str) -> None:
    tree.write(BAD, text + SCENARIO.replace("scenario: hello", "scenario: bad"))
    refs, findings = await look(tree)
    assert refs == [GOOD]
    assert [finding.file for finding in findings] == [BAD]
    assert findings[0].line >= 1


def fifo(path: Path) -> None:
    os.mkfifo(path)


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def circle(path: Path) -> None:
    path.symlink_to(path.name)


def outside(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def directory(path: Path) -> None:
    path.mkdir()


def unix_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def binary(path: Path) -> None:
    path.write_bytes(b"\x00\x05\x16\x07\xff\xfe")


MAKERS = [fifo, dangling, circle, outside, directory, unix_socket, binary]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    "place", [BAD, "demo/hello/1.0.0/templates/bad.yaml", "_shared/agents/bad.yaml", "demo2/pack.yaml"]
)
async def test_what_is_no_readable_file_is_one_finding_with_its_place(
    tree: Tree, make: Callable[[Path], None], place: str
) -> None:
    path = tree.root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)
    refs, findings = await look(tree)
    assert refs == [GOOD]
    assert [finding.file for finding in findings] == [place]


@pytest.mark.parametrize("make", [dangling, circle])
@pytest.mark.parametrize("place", ["bad", "demo/bad", "demo/hello/2.0.0"])
async def test_a_link_that_is_no_directory_is_one_finding(tree: Tree, make: Callable[[Path], None], place: str) -> None:
    make(tree.root / place)
    refs, findings = await look(tree)
    assert refs == [GOOD]
    assert [finding.file for finding in findings] == [place]


COMPANIONS = [".#scenario.yaml", "._scenario.yaml", ".scenario.yaml.swp", "scenario.yaml~"]


@pytest.mark.parametrize(
    ("make", "name"),
    [
        *((make, name) for make in (binary, fifo) for name in COMPANIONS),
        # A link that leads nowhere is told of when its name is not a hidden one.
        *((dangling, name) for name in COMPANIONS if name.startswith(".")),
    ],
)
@pytest.mark.parametrize("place", ["demo/hello/1.0.0", "demo/hello/1.0.0/templates", "_shared/agents", "demo", "."])
async def test_companion_files_of_editors_and_systems_are_passed_over(
    tree: Tree, make: Callable[[Path], None], place: str, name: str
) -> None:
    (tree.root / place).mkdir(exist_ok=True)
    make(tree.root / place / name)
    assert await look(tree) == ([GOOD], [])


@pytest.mark.parametrize("place", ["demo2", "demo/bad", "demo/hello/1.0.0/templates"])
async def test_a_directory_that_cannot_be_read_is_one_finding(
    tree: Tree, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tree.root / place
    closed.mkdir(parents=True)
    listing = Path.iterdir

    def refusing(path: Path):  # type: ignore[no-untyped-def] # who runs as root can read everything
        if path == closed:
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", refusing)
    refs, findings = await look(tree)
    assert refs == [GOOD]
    assert {finding.file for finding in findings} == {place}
    assert "Permission denied" in findings[0].message


async def test_a_file_with_the_other_suffix_is_told_of(tree: Tree) -> None:
    tree.write("demo/short/1.0.0/scenario.yml", SCENARIO)
    refs, [finding] = await look(tree)
    assert refs == [GOOD]
    assert (finding.file, finding.level) == ("demo/short/1.0.0/scenario.yml", "warning")


async def test_a_defect_in_loading_costs_its_scenario_alone(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.write(BAD, SCENARIO)
    real = folders.real

    def defective(path: Path) -> Path:
        if "bad" in path.parts:
            raise ZeroDivisionError
        return real(path)

    monkeypatch.setattr("aitp_playground.scenarios.source.real", defective)
    refs, findings = await look(tree)
    assert refs == [GOOD]
    assert [finding.file for finding in findings] == [BAD]


async def test_names_that_are_no_text_are_told_in_text(tree: Tree) -> None:
    name = os.fsdecode(b"b\xffd")
    (tree.root / name).symlink_to("nowhere")
    _, [finding] = await look(tree)
    assert finding.file.encode()


async def test_what_is_mended_is_noticed(tree: Tree) -> None:
    path = tree.root / BAD
    path.parent.mkdir(parents=True)
    fifo(path)
    catalog = tree.catalog()
    _, errors = await catalog.scenarios()
    assert len(errors) == 1
    path.unlink()
    tree.write(BAD, (tree.root / HELLO).read_text().replace("scenario: hello", "scenario: bad"))
    scenarios, errors = await catalog.scenarios()
    assert ([loaded.ref for loaded in scenarios], errors) == (["demo/bad@1.0.0", GOOD], [])
