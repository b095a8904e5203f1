"""Fixtures of the kernel's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .kit import Stage


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A supervisor that is closed, and whose actors have all ended, after the test."""
    async with Stage() as stage:
        yield stage
    assert len(stage.supervisor) == 0
