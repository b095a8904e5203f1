"""The catalog for commands that only read files: no server, no agents."""

from __future__ import annotations

from pathlib import Path

from aitp_playground.cli.terminal.lines import say
from aitp_playground.config import Settings
from aitp_playground.scenarios.catalog import Catalog
from aitp_playground.steps import STEP_TYPES


def catalog_of(settings: Settings) -> Catalog:
    """The scenarios that a server with these settings would offer."""
    roots_of(settings)
    return Catalog(settings.scenario_roots, STEP_TYPES)


def roots_of(settings: Settings) -> list[Path]:
    """The scenarios directories that are there; one that is not is named on stderr, for it may be a misspelt one."""
    for root in settings.scenario_roots:
        if not root.is_dir():
            say(f"SCENARIOS_DIR names {root}, which is no directory", err=True)
    return [root for root in settings.scenario_roots if root.is_dir()]
