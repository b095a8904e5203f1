"""Import circles between modules, read from the syntax trees; imports in functions and for types alone count."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

Graph = Mapping[str, frozenset[str]]


def imports_of(roots: Iterable[Path]) -> Graph:
    """Module → the modules of these source roots that it imports; a root is a directory that stands on ``sys.path``."""
    files = {_module(file, root): file for root in roots for file in sorted(root.rglob("*.py"))}
    return {
        name: frozenset(_imported(name, file, files.keys())) - {name, *_packages_of(name)}
        for name, file in files.items()
    }


def circles(graph: Graph) -> list[frozenset[str]]:
    """The strongly connected components of more than one module (Tarjan 1972, without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    found: list[frozenset[str]] = []
    for start in graph:
        if start in index:
            continue
        work: list[tuple[str, Iterator[str]]] = []
        _enter(start, graph, index, low, stack, on_stack, work)
        while work:
            module, rest = work[-1]
            following = next(rest, None)
            if following is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[module])
                if low[module] == index[module]:
                    component = _pop_until(module, stack, on_stack)
                    if len(component) > 1:
                        found.append(component)
            elif following not in index:
                _enter(following, graph, index, low, stack, on_stack, work)
            elif following in on_stack:
                low[module] = min(low[module], index[following])
    return found


def _enter(
    module: str,
    graph: Graph,
    index: dict[str, int],
    low: dict[str, int],
    stack: list[str],
    on_stack: set[str],
    work: list[tuple[str, Iterator[str]]],
) -> None:
    index[module] = low[module] = len(index)
    stack.append(module)
    on_stack.add(module)
    work.append((module, iter(sorted(graph.get(module, ())))))


def _pop_until(module: str, stack: list[str], on_stack: set[str]) -> frozenset[str]:
    component: set[str] = set()
    while module not in component:
        component.add(stack.pop())
    on_stack -= component
    return frozenset(component)


def _module(file: Path, root: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _packages_of(module: str) -> set[str]:
    """Importing a module runs its packages first; that is no dependency on what they hold."""
    parts = module.split(".")
    return {".".join(parts[:length]) for length in range(1, len(parts))}


def _imported(module: str, file: Path, known: Iterable[str]) -> Iterator[str]:
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    modules = set(known)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in modules)
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, package)
            for name in node.names:
                inner = f"{origin}.{name.name}"
                if inner in modules or origin in modules:
                    yield inner if inner in modules else origin


def _origin(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    above = ".".join(parts[: len(parts) - node.level + 1])
    return f"{above}.{node.module}" if node.module else above
