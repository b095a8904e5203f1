"""The checks of the source find what they are there to find."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checks.circles import circles, imports_of
from tests.checks.clocks import dated_at_collection
from tests.checks.lengths import too_long


def write(root: Path, **modules: str) -> Path:
    for name, text in modules.items():
        file = root.joinpath(*name.split("__")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    "back",
    [
        "import p.a",
        "from p.a import x",
        "from p import a",
        "from . import a",
        "from .a import x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.a import x",
        "def later():\n    from p.a import x",
    ],
)
def test_two_modules_that_import_each_other_are_a_circle_however_they_do_it(tmp_path: Path, back: str) -> None:
    root = write(tmp_path, p__a="from p import b\n", p__b=back)
    (root / "p/__init__.py").touch()
    assert circles(imports_of([root])) == [frozenset({"p.a", "p.b"})]


def test_a_circle_through_a_third_module_and_a_second_root_is_found(tmp_path: Path) -> None:
    first = write(tmp_path / "first", a="import b", b="import c")
    second = write(tmp_path / "second", c="import a", d="import a")
    assert circles(imports_of([first, second])) == [frozenset({"a", "b", "c"})]


def test_imports_that_only_go_down_are_no_circle(tmp_path: Path) -> None:
    root = write(tmp_path, a="import b, c", b="import c", c="import os")
    assert circles(imports_of([root])) == []


def test_a_module_may_import_from_the_package_it_is_in(tmp_path: Path) -> None:
    root = write(tmp_path, p__a="from p import VERSION", p____init__="from p.a import x\nVERSION = 1")
    assert circles(imports_of([root])) == []


def test_a_file_over_the_limit_is_counted(tmp_path: Path) -> None:
    root = write(tmp_path, long="x = 1\n" * 4, short="x = 1\n" * 3)
    assert too_long([root], most=3) == {root / "long.py": 4}


DATED = """
import time
from datetime import datetime

def now() -> float:
    return time.time()

def later() -> float:
    return now() + 60

@parametrize("moment", [later(), lambda: later(), time.time()])
def test_it(moment: float, start: float = time.monotonic()) -> None:
    assert now() < moment

class Kept:
    since = datetime.now()

    def age(self) -> float:
        return time.time()

if __name__ == "__main__":
    print(now())
"""


def test_a_clock_that_is_read_when_tests_are_collected_is_found(tmp_path: Path) -> None:
    (tmp_path / "dated.py").write_text(DATED)
    (tmp_path / "fine.py").write_text("import time\nMADE = lambda: time.time()\n\ndef now():\n    return time.time()\n")
    assert dated_at_collection([tmp_path]) == {tmp_path / "dated.py": [11, 12, 16]}
