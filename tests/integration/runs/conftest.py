"""One playground for each module of tests; what a test leaves behind fails it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from aitp_playground.runs import directory
from aitp_playground.service import Playground

from .watching import NOTHING, PATIENCE, at_rest, leftovers, unruly_playground


@pytest.fixture(autouse=True)
def patient_cancels(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine a run may take longer to end than a cancel waits; then the answer says less."""
    monkeypatch.setattr(directory, "CANCEL_WAIT", PATIENCE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Playground]:
    async with unruly_playground(tmp_path_factory.mktemp("playground"), max_concurrent_runs=8) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def clean(running: Playground) -> AsyncIterator[Playground]:
    """The module's playground; at the end nothing of the test's runs may be left in it."""
    yield running
    await at_rest(running)
    assert leftovers(running) == NOTHING
