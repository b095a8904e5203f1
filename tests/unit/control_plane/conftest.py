"""A Control Plane in this process, behind its real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.server import control_plane
from tests.unit.control_plane.asking import Plane

Start = Callable[..., Any]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start one with these options; all end with the test."""
    async with AsyncExitStack() as stack:

        async def started(**options: Any) -> Plane:
            running = await stack.enter_async_context(control_plane(Options(**options)))
            return Plane(running)

        yield started


@pytest.fixture
async def plane(start: Start) -> Plane:
    """One in memory, with a key it made up."""
    plane: Plane = await start()
    return plane
