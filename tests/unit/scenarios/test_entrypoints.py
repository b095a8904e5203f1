"""Lint sees that a worker cannot start, without starting it."""

from __future__ import annotations

import sys

import pytest

from .conftest import Tree

MANIFEST = "_shared/agents/greeter.yaml"
MAIN = "../agents/greeter/main.py"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import asyncio\ndef greet(:\n    pass\n", "main.py:2 is not Python: "),
        ("import asyncio\nimport reqests_of_nowhere\n", "main.py:2 imports 'reqests_of_nowhere'"),
        ("from base.wroker import Worker\n", "main.py:1 imports 'base.wroker'"),
        ("from greeter import other\nfrom greeter.texts.hello import HELLO\n", "main.py:2 imports 'greeter.texts'"),
        ("import greeter.broken\n", "broken.py:1 is not Python: "),
        ("x = '\\udc80'\n\x00", "is not Python"),
    ],
)
def test_what_python_would_refuse_is_an_error_with_the_places_of_both(tree: Tree, code: str, said: str) -> None:
    tree.write("../agents/greeter/broken.py", "x = = 1\n")
    tree.write(MAIN, code)
    (finding,) = tree.lint()
    assert (finding.level, finding.file, finding.field) == ("error", MANIFEST, "spec.entrypoint.value")
    assert finding.line == 5
    assert said in finding.message


@pytest.mark.parametrize(
    ("entrypoint", "said"),
    [
        ("type: python_module, value: greter.main", "there is no module 'greter'"),
        ("type: python_module, value: greeter.mian", "there is no module 'greeter.mian'"),
        ("type: python_file, value: agents/greeter/mian.py", "there is no file agents/greeter/mian.py"),
        ("type: python_file, value: greeter/main.py", "there is no file greeter/main.py"),
    ],
)
def test_an_entrypoint_that_leads_nowhere_is_an_error(tree: Tree, entrypoint: str, said: str) -> None:
    tree.edit("type: python_module, value: greeter.main", entrypoint, MANIFEST)
    (finding,) = tree.lint()
    assert (finding.level, finding.message) == ("error", said)


def test_nothing_is_executed_and_what_is_provided_for_is_no_fault(tree: Tree) -> None:
    tree.write(
        MAIN,
        """\
        from __future__ import annotations
        import itertools, os.path, sys
        import aiohttp
        import greeter.other
        from base.worker import Worker
        try:
            import faster_of_nowhere
        except ImportError:
            faster_of_nowhere = None
        def late():
            import later_of_nowhere
        raise SystemExit("executed")
        """,
    )
    tree.write("../agents/greeter/other.py", "import greeter.main\n")
    assert tree.lint() == []


@pytest.mark.parametrize("host", ["python: sh", "env: {PYTHONPATH: /opt/lib}"])
def test_what_another_interpreter_has_is_not_known(tree: Tree, host: str) -> None:
    tree.edit("  aitp:", f"  host: {{ {host} }}\n  aitp:", MANIFEST)
    tree.write(MAIN, "import package_of_theirs\n")
    assert tree.lint() == []
    tree.write(MAIN, "def broken(:\n")
    assert len(tree.lint()) == 1


def test_a_file_as_entrypoint_is_parsed_too(tree: Tree) -> None:
    tree.edit("type: python_module, value: greeter.main", "type: python_file, value: agents/greeter/main.py", MANIFEST)
    assert tree.lint() == []
    tree.write(MAIN, "def broken(:\n")
    (finding,) = tree.lint()
    assert "main.py:1 is not Python" in finding.message


@pytest.mark.parametrize(
    ("python", "said"),
    [
        ("/nowhere/bin/python", "there is no /nowhere/bin/python here"),
        ("python-of-nowhere", "'python-of-nowhere' is no program here"),
        ("/etc", "'/etc' is no program here"),
    ],
)
def test_an_interpreter_that_cannot_be_had_is_doubtful(tree: Tree, python: str, said: str) -> None:
    line = tree.edit("  aitp:\n", f"  host: {{ python: {python} }}\n  aitp:\n", MANIFEST)
    (finding,) = tree.lint()
    assert (finding.level, finding.file, finding.line) == ("warning", MANIFEST, line)
    assert finding.field == "spec.host.python"
    assert said in finding.message


@pytest.mark.parametrize("python", ["python3", "python", sys.executable, "sh"])
def test_an_interpreter_that_is_there_is_not(tree: Tree, python: str) -> None:
    tree.edit("  aitp:\n", f"  host: {{ python: {python} }}\n  aitp:\n", MANIFEST)
    assert tree.lint() == []
