"""A Control Plane and playgrounds that know it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.server import Running, control_plane
from aitp_playground.service import Playground, playground

from .calling import Subscribed, finished_run, settings_with, subscribe


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_cp() -> AsyncIterator[Running]:
    async with control_plane(Options()) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(shared_cp: Running, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Playground]:
    """The module's playground."""
    async with playground(settings_with(shared_cp, tmp_path_factory.mktemp("playground"))) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def run(shared: Playground) -> Subscribed:
    """A finished run that is subscribed."""
    return await subscribe(shared, await finished_run(shared))


@pytest.fixture
async def cp() -> AsyncIterator[Running]:
    """A Control Plane for one test to spoil."""
    async with control_plane(Options()) as running:
        yield running
