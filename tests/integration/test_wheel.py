"""An installed wheel runs scenarios away from any checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built wheel, unpacked as an installer would."""
    made = tmp_path_factory.mktemp("wheel")
    shown = "python -m build --wheel --no-isolation --outdir"
    assert f".venv/bin/{shown} dist\n" in (ROOT / "docs/docker.md").read_text(), "the wheel is built as the page says"
    command = [sys.executable, *shown.split()[1:], str(made), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (wheel,) = made.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(made / "site")
    return made / "site"


def run(installed: Path, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "STATE_DIR": str(tmp_path / "state"),
        "PYTHONPATH": str(installed),
    }
    return subprocess.run(
        [sys.executable, *arguments], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )


def test_the_wheel_brings_its_own_agents_and_scenarios(installed: Path, tmp_path: Path) -> None:
    found = run(
        installed,
        tmp_path,
        "-c",
        "from aitp_playground import resources as r; print(r.agents_dir(), r.scenarios_dir(), sep='\\n')",
    )
    directories = [Path(line) for line in found.stdout.splitlines()]
    assert [directory.is_relative_to(installed) for directory in directories] == [True, True], found.stderr
    assert (directories[0] / "base" / "agent_admin.py").is_file()
    assert (directories[0] / "researcher" / "corpus").is_dir()


def test_a_scenario_runs_from_the_wheel_alone(installed: Path, tmp_path: Path) -> None:
    ended = run(installed, tmp_path, "-m", "aitp_playground", "run", "intra-org/trust-gate@1.0.0", "--require-proof")
    assert ended.returncode == 0, ended.stderr
    assert "run success, proven" in ended.stdout
