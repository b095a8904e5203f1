"""A Control Plane's side of a webhook, played by hand: signed bodies to a real playground."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from aitp_playground.config import Settings
from aitp_playground.control_plane.server import Running
from aitp_playground.events.codec import decode
from aitp_playground.events.model import RunEvent
from aitp_playground.service import Playground
from aitp_playground.store.port import RunStore
from tests.integration.runs.watching import submit, until
from tests.support.playground import VARIANTS, follow, settings_at

PATIENCE = 300.0


def settings_with(cp: Running, directory: Path, **overrides: Any) -> Settings:
    """A playground of a test's own, with this Control Plane."""
    given = {"cp_base_url": cp.url, "cp_api_key": cp.key, "cp_timeout_ms": 15_000}
    return settings_at(directory, **{"scenarios_dir": str(VARIANTS / "scenarios"), **given, **overrides})


def store_of(running: Playground) -> RunStore:
    return running.services.store


def body_of(delivery_id: str | None = None, event_type: str = "handshake.complete", **event: Any) -> bytes:
    """As a Control Plane sends it, in raw UTF-8."""
    document = {
        "deliveryId": delivery_id or str(uuid.uuid4()),
        "eventType": event_type,
        "payload": {"id": "e-1", "type": event_type, "payload": {"note": "héllo ☃"}, **event},
        "enqueuedAt": "2026-11-22T15:45:43.182Z",
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def signature(secret: str, body: bytes) -> str:
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A run that is subscribed, and what only its Control Plane knows beside the store."""

    running: Playground
    run_id: str
    secret: str

    async def post(
        self,
        body: bytes,
        signed: str | None = None,
        run_id: str | None = None,
        encoding: str | None = None,
        **headers: str,
    ) -> int:
        """Deliver; the status of the answer. Signed as it should be unless told otherwise."""
        given = {"X-Aitp-Signature": signature(self.secret, body) if signed is None else signed}
        given |= {f"X-Aitp-{name.title()}": value for name, value in headers.items()}
        given |= {} if encoding is None else {"Content-Encoding": encoding}
        url = f"{self.running.url}/webhooks/cp/{run_id or self.run_id}"
        async with aiohttp.ClientSession() as http, http.post(url, data=io.BytesIO(body), headers=given) as response:
            return response.status

    async def told(self) -> list[RunEvent]:
        """The deliveries on disk."""
        found: list[RunEvent] = []
        after, more = 0, True
        while more:
            page = await store_of(self.running).read(self.run_id, after=after, event_type="cp.webhook.delivered")
            found += [decode(entry.body) for entry in page.events]
            after, more = page.next_after, page.more
        return found

    async def shown(self, **query: str) -> dict[str, Any]:
        """``GET /runs/{id}/cp-deliveries``."""
        shown: dict[str, Any] = await get(self.running, f"/runs/{self.run_id}/cp-deliveries", **query)
        return shown


async def get(running: Playground, path: str, **query: str) -> Any:
    async with aiohttp.ClientSession() as http, http.get(running.url + path, params=query) as response:
        return await response.json()


async def finished_run(running: Playground) -> str:
    run_id = await submit(running)
    await follow(running, run_id)
    return run_id


async def running_run(running: Playground) -> str:
    run_id = await submit(running, inputs={"act": "sleep", "seconds": 60})
    await until(running, run_id, "step.started")
    return run_id


async def subscribe(running: Playground, run_id: str, *events: str) -> Subscribed:
    leftovers = running.services.leftovers
    assert leftovers is not None
    made = await leftovers.subscribe(run_id, events)
    assert made.reason is None
    return Subscribed(running, run_id, await secret_of(running, run_id))


async def secret_of(running: Playground, run_id: str) -> str:
    secret = (await store_of(running).leftovers(run_id))[-1].secret
    assert secret is not None
    return secret


async def eventually(holds: Callable[[], Awaitable[Any]]) -> None:
    """Wait for what another process, or task, is about to do."""
    async with asyncio.timeout(PATIENCE):
        while not await holds():  # noqa: ASYNC110 - it has no event of its own here
            await asyncio.sleep(0.02)
