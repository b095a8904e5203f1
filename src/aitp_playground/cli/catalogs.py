"""The catalog for commands that only read files: no server, no agents."""

from __future__ import annotations

from aitp_playground.config import Settings
from aitp_playground.scenarios.catalog import Catalog
from aitp_playground.steps import STEP_TYPES


def catalog_of(settings: Settings) -> Catalog:
    """The scenarios that a server with these settings would offer."""
    return Catalog(settings.scenario_roots, STEP_TYPES)
