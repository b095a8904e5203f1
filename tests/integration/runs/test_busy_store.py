"""A store that somebody else keeps busy, as a backup does: what a step caused is waited for, not taken for absent."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from aitp_playground.runs.conducting import step_context as context
from tests.support.playground import follow, playground_at

from .watching import submit, until

REF = "intra-org/trust-gate@1.0.0"


async def test_events_that_a_locked_database_holds_up_count_for_their_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "TELEMETRY_WAIT", 0.1)
    async with playground_at(tmp_path) as running:
        run_id = await submit(running, REF)
        await until(running, run_id, "run.started")
        backup = sqlite3.connect(tmp_path / "state" / "runs.db", isolation_level=None)
        backup.execute("BEGIN IMMEDIATE")
        late = asyncio.get_running_loop().call_later(1.5, backup.execute, "ROLLBACK")
        try:
            outcome = await follow(running, run_id)
        finally:
            late.cancel()
            backup.close()
    assert outcome.view.error is None
    assert outcome.status == "success"
    assert outcome.view.proof == "proven"


async def test_an_agent_that_does_not_hand_in_its_telemetry_fails_what_is_claimed_of_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "TELEMETRY_WAIT", 0.1)

    async def lost(*_: object) -> dict[str, int]:
        await asyncio.Event().wait()
        raise AssertionError

    async with playground_at(tmp_path) as running:
        monkeypatch.setattr(running.directory, "telemetry", lost)
        outcome = await follow(running, await submit(running, REF))
    assert outcome.status == "failed"
    assert "is not in the log in full" in str(outcome.view.error)
