"""What the fork server shares, and what it must not hide."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aitp_playground.hosting.contract import Exit
from aitp_playground.hosting.fork_launcher import ForkServerLauncher
from aitp_playground.resources import agents_dir
from tests.integration.hosting.staging import scripted

MAIN = """
import sys
print(sorted({"aiohttp", "aiohttp.web", "aitp"} & sys.modules.keys()), "base.extra" in sys.modules)
from base import extra
print(extra.VALUE)
"""

SHOP = """
import os, pathlib
stock, prepared_in = None, None

def preload():
    global stock, prepared_in
    stock, prepared_in = pathlib.Path(__file__).with_name("stock.txt").read_text(), os.getpid()

if not os.environ.get("AITP_LISTEN_FD") is None:
    preload()
"""


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    """An agents directory of our own, with one more shared module."""
    base = tmp_path / "base"
    (base / "process").mkdir(parents=True)
    for name in ("__init__", "process/__init__", "process/entrypoint", "process/forkserver", "process/linux"):
        shutil.copy(agents_dir() / "base" / f"{name}.py", base / f"{name}.py")
    (base / "extra.py").write_text("VALUE = 'old'")
    (base / "broken.py").write_text("raise RuntimeError('half written')")
    (tmp_path / "main.py").write_text(MAIN)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text(SHOP)
    (tmp_path / "shop" / "stock.txt").write_text("apples")
    (tmp_path / "visit.py").write_text("import shop\nprint(shop.stock, shop.prepared_in)\n")
    return tmp_path


@pytest.fixture
async def launcher(agents: Path) -> AsyncIterator[ForkServerLauncher]:
    launcher = ForkServerLauncher(python=sys.executable, agents_dir=agents, pool_size=1)
    await launcher.start()
    yield launcher
    await launcher.close()


async def printed(
    launcher: ForkServerLauncher, listener: socket.socket, agents: Path, file: str = "main.py"
) -> list[str]:
    spec = {"entrypoint": file, "cwd": agents, "path": (agents,)}
    process = await launcher.launch(scripted(listener, "unused", spec=spec))
    assert await process.wait() == Exit(0)
    return process.output().splitlines()


async def test_what_workers_share_is_imported_before_the_fork_and_a_broken_module_does_not_hinder(
    launcher: ForkServerLauncher, listener: socket.socket, agents: Path
) -> None:
    assert await printed(launcher, listener, agents) == ["['aiohttp', 'aiohttp.web', 'aitp'] True", "old"]


async def test_a_shared_module_changed_since_is_imported_anew(
    launcher: ForkServerLauncher, listener: socket.socket, agents: Path
) -> None:
    await printed(launcher, listener, agents)
    (agents / "base" / "extra.py").write_text("VALUE = 'changed'")
    assert await printed(launcher, listener, agents) == ["['aiohttp', 'aiohttp.web', 'aitp'] False", "changed"]


async def test_a_worker_package_prepares_once_for_all_its_agents(
    launcher: ForkServerLauncher, listener: socket.socket, agents: Path
) -> None:
    visits = [await printed(launcher, listener, agents, "visit.py") for _ in range(2)]
    assert visits == [[f"apples {launcher.server_pid}"]] * 2


@pytest.mark.parametrize("change", ["stock.txt", "__init__.py", "added.py"])
async def test_a_worker_package_changed_since_is_prepared_anew(
    launcher: ForkServerLauncher, listener: socket.socket, agents: Path, change: str
) -> None:
    await printed(launcher, listener, agents, "visit.py")
    with (agents / "shop" / change).open("a") as file:
        file.write("\n# changed")
    ((stock, *_rest, prepared_in),) = [" ".join(await printed(launcher, listener, agents, "visit.py")).split()]
    assert stock == "apples"
    assert prepared_in != str(launcher.server_pid)


async def test_code_written_twice_within_a_second_is_run_as_it_was_written_last(
    launcher: ForkServerLauncher, listener: socket.socket, agents: Path
) -> None:
    package = agents / "mine"
    package.mkdir()
    moment = time.time() + 60
    for said in ("first", "later"):
        for name, text in {"__init__": "", "main": "from mine.words import SAID\nprint(SAID)", "words": said}.items():
            file = package / f"{name}.py"
            file.write_text(f"SAID = {text!r}" if name == "words" else text)
            os.utime(file, (moment, moment))
        spec = {"entrypoint_type": "python_module", "entrypoint": "mine.main", "cwd": agents, "path": (agents,)}
        process = await launcher.launch(scripted(listener, "unused", spec=spec))
        assert await process.wait() == Exit(0)
        assert process.output().splitlines() == [said]
