"""What the handlers ask: what stands behind the API in one process, found through one typed key."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from aitp_playground.config import Settings
from aitp_playground.cp_client.client import CpClient
from aitp_playground.observability.metrics import Metrics
from aitp_playground.runs.chronicle import Chronicle
from aitp_playground.runs.directory import RunDirectory
from aitp_playground.scenarios.catalog import Catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Everything a handler may ask. Who builds them also starts and closes them."""

    settings: Settings
    catalog: Catalog
    directory: RunDirectory
    metrics: Metrics
    cp: CpClient
    chronicle: Chronicle


BACKEND = web.AppKey("backend", Backend)
