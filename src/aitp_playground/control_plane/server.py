"""The service from its database to its socket, opened and closed in order."""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from aitp_playground.bounded_server import Limits
from aitp_playground.control_plane.app import BACKGROUND, build_app
from aitp_playground.control_plane.db import MEMORY, Database, inspect
from aitp_playground.control_plane.events.bus import EventBus
from aitp_playground.control_plane.middlewares.hosts import known_hosts
from aitp_playground.control_plane.middlewares.keys import Keys
from aitp_playground.control_plane.misbehaviour.middleware import switch_on
from aitp_playground.control_plane.misbehaviour.switches import Switches
from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.schema import SCHEMA
from aitp_playground.control_plane.service import Background, ControlPlane
from aitp_playground.control_plane.trust.identity import Identity, load_seed
from aitp_playground.control_plane.webhooks.targets import delivery_session
from aitp_playground.listening import listen, raise_open_files, serving

#: A loop that failed begins anew after this long, so that a lost database does not end the sweeps for good.
RESTART_SECONDS = 1.0
SHUTDOWN_SECONDS = 2.0
#: A reader of the event stream may pause for longer than an agent may.
LIMITS = Limits(stalled_secs=120.0, connections=4_000)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A Control Plane that answers at ``url``, is known as ``aid`` and lets in who presents ``key``."""

    url: str
    aid: str
    key: str = field(repr=False)
    service: ControlPlane = field(repr=False)


@asynccontextmanager
async def control_plane(options: Options) -> AsyncIterator[Running]:
    """Open the database, listen, run the sweeps; on exit all of it ends.

    Raises ``SeedInvalid``, ``SwitchInvalid``, ``OSError`` (the port, a file) or ``sqlite3.Error``.
    """
    keys = options.api_keys or (secrets.token_urlsafe(24),)
    if options.database != MEMORY:
        # Before a seed is made beside it.
        await asyncio.to_thread(inspect, options.database, SCHEMA)
    seed = await asyncio.to_thread(load_seed, _seed_file(options))
    async with AsyncExitStack() as stack:
        raise_open_files()
        address = await listen(options.host, options.port)
        stack.callback(address.close)
        cp = ControlPlane(
            db=Database(options.database),
            identity=Identity(seed, address.url),
            options=options,
            bus=EventBus(),
            http=await stack.enter_async_context(delivery_session()),
            hosts=known_hosts((options.host, *options.allowed_hosts)),
            switches=Switches(),
            keys=Keys(keys),
        )
        switch_on(cp)
        await cp.db.open(SCHEMA)
        stack.push_async_callback(cp.db.close)
        loops = [asyncio.create_task(_forever(loop, cp), name=f"cp-{loop.__module__}") for loop in BACKGROUND]
        stack.push_async_callback(_end, loops)
        await stack.enter_async_context(
            serving(build_app(cp), address, _refusal, LIMITS, shutdown_timeout=SHUTDOWN_SECONDS, auto_decompress=False)
        )
        yield Running(url=address.url, aid=cp.identity.aid, key=keys[0], service=cp)


def _seed_file(options: Options) -> Path | None:
    if options.seed_file is not None or options.database == MEMORY:
        return options.seed_file
    return Path(f"{options.database}.seed")


def _refusal(_status: int, code: str, message: str) -> str:
    return json.dumps({"error": message, "code": code.upper()})


async def _forever(loop: Background, cp: ControlPlane) -> None:
    while True:
        try:
            await loop(cp)
        except sqlite3.Error as failure:
            log.warning("control_plane.loop_without_database", loop=loop.__module__, error=str(failure))
        except Exception:
            log.exception("control_plane.loop_failed", loop=loop.__module__)
        await asyncio.sleep(RESTART_SECONDS)


async def _end(loops: Sequence[asyncio.Task[None]]) -> None:
    for task in loops:
        task.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
