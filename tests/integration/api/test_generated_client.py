"""A client that a public generator makes of the contract works, as the page shows it."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.playground import playground_at
from tests.support.shown_commands import ROOT, commands

TITLE = "The contract"
KEY = "a-key-for-tests-only"
PATIENCE = 300.0
ENV = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands of the page have put a client."""
    place = tmp_path_factory.mktemp("client")
    for command in commands("docs/api.md", TITLE):
        done = subprocess.run(
            command, shell=True, cwd=place, env=ENV, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        assert "WARNING" not in said, "the generator left something out"
        assert "ERROR" not in said
    return place


def snippet() -> str:
    (shown,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/api.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return str(shown)


@pytest.mark.parametrize("keys", [False, True], ids=["without keys", "with keys"])
async def test_it_starts_a_run_and_reads_its_events_to_the_last(made: Path, tmp_path: Path, keys: bool) -> None:
    async with playground_at(tmp_path, **({"playground_api_keys": KEY} if keys else {})) as running:
        program = snippet().replace('"http://127.0.0.1:8000"', f'"{running.url}"')
        assert running.url in program
        if keys:
            program = program.replace("Client(", f'AuthenticatedClient(token="{KEY}", base_url=').replace(
                "import Client\n", "import AuthenticatedClient\n"
            )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program),
            cwd=made,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, wrong = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert (process.returncode, said.decode().split()) == (0, ["run.complete"]), wrong.decode()


def test_it_has_every_operation(made: Path) -> None:
    functions = {path.stem for path in (made / "playground_client/api").rglob("*.py")} - {"__init__"}
    names = re.findall(r'"operationId": "(\w+)",\n +"summary"', (made / "openapi.json").read_text("utf-8"))
    assert functions == {re.sub(r"(?=[A-Z])", "_", name).lower() for name in names}
