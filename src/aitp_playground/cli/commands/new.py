"""``new``: a scenario to start from."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import click

from aitp_playground import resources
from aitp_playground.cli.process.settings import load_settings
from aitp_playground.cli.scenario_files.new_scenario import MANIFESTS, pack_text, scenario_text
from aitp_playground.cli.terminal.lines import say
from aitp_playground.errors import InvalidRequest

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}", re.ASCII)
_VERSION = "1.0.0"


@click.command("new")
@click.argument("name", metavar="PACK/SCENARIO")
@click.option("--dir", "directory", type=click.Path(file_okay=False, path_type=Path), help="The scenarios directory.")
def command(name: str, directory: Path | None) -> int:
    """Make a scenario that runs: two agents, a refused call, a handshake, and the same call again.

    It goes to ./scenarios (or the first of SCENARIOS_DIR, or --dir) with all that it needs: the pack's pack.yaml and
    the agents' manifests are made where they are missing. Nothing that exists is overwritten.

    \b
    Example:
      aitp-playground new my-pack/first-contact
    """
    pack, slash, scenario = name.partition("/")
    if not slash or not _NAME.fullmatch(pack) or not _NAME.fullmatch(scenario):
        raise InvalidRequest(f"{name[:200]!r} is not PACK/SCENARIO: lower-case letters, digits, '.', '_' and '-'")
    root = directory or _default_root()
    target = root / pack / scenario / _VERSION / "scenario.yaml"
    if target.parent.parent.exists():
        raise InvalidRequest(f"{target.parent.parent} is already there; choose another name or remove it")
    try:
        for path in _write(root, pack, scenario, target):
            say(f"made {path}")
    except OSError as failure:
        raise InvalidRequest(f"{failure.filename} cannot be written: {failure.strerror}") from failure
    say("")
    say(f"Now try: {_setting(root)}aitp-playground run {pack}/{scenario}@{_VERSION}")
    return 0


def _default_root() -> Path:
    settings = load_settings()
    return settings.scenario_roots[0] if settings.scenarios_dir else Path("scenarios")


def _write(root: Path, pack: str, scenario: str, target: Path) -> list[Path]:
    files = {target: scenario_text(pack, scenario, _VERSION)}
    if not (root / pack / "pack.yaml").exists():
        files[root / pack / "pack.yaml"] = pack_text(pack)
    for ref in MANIFESTS:
        manifest = root / f"{ref}.yaml"
        if not manifest.exists():
            files[manifest] = (resources.scenarios_dir() / f"{ref}.yaml").read_text("utf-8")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    return list(files)


def _setting(root: Path) -> str:
    """What must be set for the new scenario to be found; nothing where it is found anyway."""
    if any(root.resolve() == known.resolve() for known in load_settings().scenario_roots):
        return ""
    return f"SCENARIOS_DIR={shlex.quote(f'{root}{os.pathsep}{resources.scenarios_dir()}')} "
