"""Cancelling a run when the command is told to end, while the run is followed to that end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from aitp_playground.cli.process.signals import Interrupts


@contextlib.asynccontextmanager
async def cancelling(interrupts: Interrupts, cancel: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Meanwhile, ``cancel`` once somebody asks for the end. Its failure is raised when the block is over."""

    async def cancel_when_asked() -> None:
        await interrupts.asked.wait()
        await cancel()

    watching = asyncio.create_task(cancel_when_asked(), name="cancel-when-asked")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})
    if not watching.cancelled() and (failure := watching.exception()) is not None:
        raise failure
