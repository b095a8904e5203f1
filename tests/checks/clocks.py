"""Tests that look at a clock when they are collected: minutes may pass until they run, and a "future" is then past."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

_CLOCKS = {"time": {"time", "monotonic"}, "datetime": {"now", "utcnow", "today"}, "date": {"today"}}
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def dated_at_collection(roots: Iterable[Path]) -> dict[Path, list[int]]:
    """By module, the lines at which it reads a clock while it is imported, itself or by a function of its own."""
    found = {}
    for root in roots:
        for file in sorted(root.rglob("*.py")):
            if lines := sorted(set(_lines(ast.parse(file.read_text("utf-8"))))):
                found[file] = lines
    return found


def _lines(module: ast.Module) -> Iterator[int]:
    dated = _dated({node.name: node for node in module.body if isinstance(node, _Function)})
    for part in _run_at_import(module.body):
        for call in _calls(part):
            if _reads_clock(call) or (isinstance(call.func, ast.Name) and call.func.id in dated):
                yield call.lineno


def _run_at_import(body: Iterable[ast.stmt]) -> Iterator[ast.AST]:
    """Statements, decorators and defaults: not what is inside functions."""
    for node in body:
        if isinstance(node, _Function):
            yield from (*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d))
        elif isinstance(node, ast.ClassDef):
            yield from node.decorator_list
            yield from _run_at_import(node.body)
        elif not (isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)):
            yield node


def _dated(functions: dict[str, _Function]) -> set[str]:
    """The functions that read a clock when they are called, or call one that does."""
    calls = {name: [call for part in node.body for call in _calls(part)] for name, node in functions.items()}
    dated = {name for name, made in calls.items() if any(map(_reads_clock, made))}
    while more := {
        name
        for name, made in calls.items()
        if name not in dated and any(isinstance(call.func, ast.Name) and call.func.id in dated for call in made)
    }:
        dated |= more
    return dated


def _calls(part: ast.AST) -> Iterator[ast.Call]:
    """What is called when this is run: not what is put into a function for later."""
    if isinstance(part, _Function | ast.Lambda):
        return
    if isinstance(part, ast.Call):
        yield part
    for child in ast.iter_child_nodes(part):
        yield from _calls(child)


def _reads_clock(call: ast.Call) -> bool:
    named = call.func
    return (
        isinstance(named, ast.Attribute)
        and isinstance(named.value, ast.Name)
        and named.attr in _CLOCKS.get(named.value.id, ())
    )
