"""How the agents' code hangs together: no circles, small files, and what a pack's author imports stays where it is."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from aitp_playground.resources import agents_dir

ROOT = Path(__file__).parents[3]
AGENTS = agents_dir()
PAGE = (ROOT / "docs" / "agents.md").read_text()


def modules(root: Path, package: Path) -> dict[str, Path]:
    found = {}
    for file in package.rglob("*.py"):
        parts = file.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(file: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """Every module of ours that a file names anywhere, type checking and functions included."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in known else node.module


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Modules that lead back to themselves."""

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(graph.get(start, ()))
        while todo:
            if (name := todo.pop()) not in seen:
                seen.add(name)
                todo += graph.get(name, ())
        return seen

    return [[name, *sorted(reachable(name))] for name in graph if name in reachable(name)]


@pytest.mark.parametrize(
    ("root", "package"), [(AGENTS, AGENTS / "base"), (ROOT / "src", ROOT / "src" / "aitp_playground" / "hosting")]
)
def test_no_module_leads_back_to_itself(root: Path, package: Path) -> None:
    known = modules(root, package)
    graph = {name: set(imports(file, known)) & known.keys() for name, file in known.items()}
    assert sum(map(len, graph.values())) > 10
    # What is only ever used inside a function, so that a worker's file can be imported without serving, points upwards.
    graph["base.worker"] = graph.get("base.worker", set()) - {"base.process.serving"}
    assert circles(graph) == []


def test_files_are_small() -> None:
    long = {file.name: n for file in AGENTS.rglob("*.py") if (n := len(file.read_text().splitlines())) > 300}
    assert long == {}


def test_one_server_module_stands_alone() -> None:
    known = modules(AGENTS, AGENTS / "base")
    assert not [name for name in imports(known["base.http.bounded_server"], known) if name.startswith("base")]


def test_what_the_page_shows_is_importable_from_outside(tmp_path: Path) -> None:
    """With nothing but the shipped agents on the path, as the launcher gives it to a pack's own worker."""
    example = PAGE.split("```python\n")[1].split("```")[0]
    (tmp_path / "own.py").write_text(example)
    path = [str(tmp_path), str(AGENTS)]
    code = f"import sys; sys.path[:0] = {path!r}; import own, base.agent_admin; print(own.worker)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Worker" in done.stdout
