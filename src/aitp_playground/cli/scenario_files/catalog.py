"""The catalog for commands that only read files: no server, no agents."""

from __future__ import annotations

from aitp_playground.cli.terminal.lines import say
from aitp_playground.config import Settings
from aitp_playground.errors import ConfigurationError
from aitp_playground.scenarios.catalog import Catalog
from aitp_playground.steps import STEP_TYPES


def catalog_of(settings: Settings) -> Catalog:
    """The scenarios that a server with these settings would offer.

    A directory that is not there is named on stderr, for it may be a misspelt one; raises ConfigurationError when none
    is left.
    """
    missing = [root for root in settings.scenario_roots if not root.is_dir()]
    if len(missing) == len(settings.scenario_roots):
        raise ConfigurationError(f"SCENARIOS_DIR names {', '.join(map(str, missing))}, which is no directory")
    for root in missing:
        say(f"SCENARIOS_DIR names {root}, which is no directory", err=True)
    return Catalog(settings.scenario_roots, STEP_TYPES)
