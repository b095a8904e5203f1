"""The development Control Plane as a process: killed without a word, it has lost nothing that it acknowledged."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from tests.contract.agents import Agent, listed, registered
from tests.contract.embedded import QUICK, Embedded, embedded
from tests.contract.receiver import Receiver, of_run
from tests.contract.wire import ControlPlane


def asking(http: aiohttp.ClientSession, running: Embedded) -> ControlPlane:
    return ControlPlane(http, running.url, running.key, own=True)


async def test_nothing_acknowledged_is_lost_to_a_kill(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    revoked: set[str] = set()
    enough = asyncio.Event()

    async def write(cp: ControlPlane) -> None:
        """Until the connection breaks: unacknowledged is whatever the kill found under way."""
        while True:
            name, jti = str(uuid4()), str(uuid4())
            await cp.ingest({"type": "demo", "run_id": name})
            acknowledged.add(name)
            assert (await cp.post("/api/revocation/entries", {"jti": jti})).status == 201
            revoked.add(jti)
            if len(revoked) >= 100:
                enough.set()

    async with aiohttp.ClientSession() as http:
        with embedded(tmp_path / "cp.db") as running:
            cp = asking(http, running)
            before = (await cp.get("/api/health")).json()["aid"]
            agent = Agent("survivor")
            await registered(cp, agent)
            writing = [asyncio.create_task(write(cp)) for _ in range(4)]
            await enough.wait()
            running.process.send_signal(signal.SIGKILL)
            for failure in await asyncio.gather(*writing, return_exceptions=True):
                assert isinstance(failure, aiohttp.ClientError), failure

        with embedded(tmp_path / "cp.db") as running:
            cp = asking(http, running)
            assert (await cp.get("/api/health")).json()["aid"] == before
            kept = {row["runId"] for row in await cp.history(limit=1000, type="demo")}
            entries = (await cp.get("/.well-known/aitp-revocation-list")).json()["revocation_list"]["entries"]
            assert acknowledged <= kept
            assert revoked <= {entry["jti"] for entry in entries}
            assert [found["displayName"] for found in await listed(cp)] == ["survivor"]


async def test_a_delivery_that_a_kill_cut_short_is_made_afterwards(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as http, Receiver() as receiver:
        receiver.answering.clear()
        with embedded(tmp_path / "cp.db") as running:
            cp = asking(http, running)
            hook: dict[str, Any] = (await cp.post("/api/webhooks", {"url": receiver.url})).json(201)
            await cp.ingest({"type": "handshake.complete", "run_id": "r", "payload": {}})
            (first,) = await receiver.wait(1, of_run("r"))
            running.process.send_signal(signal.SIGKILL)
        receiver.answering.set()

        with embedded(tmp_path / "cp.db", *QUICK) as running:
            _, again, *_ = await receiver.wait(2, of_run("r"))

        assert (again.id, again.raw) == (first.id, first.raw)
        assert again.signed_with(hook["secret"])


async def test_an_idempotency_key_outlives_a_kill(tmp_path: Path) -> None:
    headers = {"Idempotency-Key": "once"}
    async with aiohttp.ClientSession() as http:
        for _ in range(2):
            with embedded(tmp_path / "cp.db") as running:
                cp = asking(http, running)
                batch = [{"type": "demo", "run_id": "r"}]
                assert (await cp.post("/api/events", batch, headers=headers)).json() == {"ingested": 1}
                count = len(await cp.history(runId="r"))
                running.process.send_signal(signal.SIGKILL)
    assert count == 1


async def test_it_misbehaves_from_the_start_when_told_so(tmp_path: Path) -> None:
    switch = "status status=503 calls=1 path=/api/tcts"
    async with aiohttp.ClientSession() as http:
        with embedded(tmp_path / "cp.db", "--switch", switch) as running:
            cp = asking(http, running)
            assert [(await cp.get("/api/tcts")).status for _ in range(2)] == [503, 200]


@pytest.mark.parametrize("options", [("--switch", "gremlins"), ("--host", "0.0.0.0"), ("--api-key", "")])
async def test_options_that_make_no_sense_end_it_before_it_listens(tmp_path: Path, options: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError, match="ended before it listened"), embedded(tmp_path / "cp.db", *options):
        pass
