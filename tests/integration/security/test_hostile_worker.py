"""A pack's own agent runs code of strangers. What it does stays within its run, and ends with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from aitp_playground.service import Playground
from tests.integration.runs.watching import gone, living
from tests.support.playground import playground_at, run

HERE = Path(__file__).parent
HOSTILE = "security/hostile@1.0.0"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Playground]:
    directory = tmp_path_factory.mktemp("hostile")
    async with playground_at(directory, scenarios_dir=str(HERE / "scenarios")) as started:
        yield started


async def test_a_process_that_a_worker_hides_in_a_session_of_its_own_does_not_outlive_the_run(
    running: Playground,
) -> None:
    outcome = await run(running, HOSTILE, inputs={"act": "linger"})
    assert outcome.status == "success", outcome.view.error
    await gone({outcome.outputs["act"]["pid"]})


async def test_hidden_processes_end_with_the_playground_too(tmp_path: Path) -> None:
    async with playground_at(tmp_path, scenarios_dir=str(HERE / "scenarios")) as started:
        outcome = await run(started, HOSTILE, inputs={"act": "linger"})
    assert not living({outcome.outputs["act"]["pid"]})


async def test_few_and_enormous_events_end_the_run_before_they_fill_the_disk(
    running: Playground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aitp_playground.runs.log.MAX_BYTES", 4_000_000)
    outcome = await run(running, HOSTILE, inputs={"act": "hoard"})
    assert outcome.status == "failed"
    assert "4000000 bytes" in str(outcome.view.error)
    assert sum(len(entry.body) for entry in outcome.view.events) < 8_000_000


async def test_a_second_ready_line_changes_nobodys_identity(running: Playground) -> None:
    outcome = await run(running, HOSTILE, inputs={"act": "pose", "port": 1})
    assert outcome.status == "success"
    (ready,) = outcome.of("agent.ready")
    assert "impostor" not in ready.get("aid")
    assert "impostor" in await running.directory.agent_log(outcome.run_id, "hostile")


async def test_an_answer_nested_beyond_all_parsers_ends_its_run_and_leaves_it_readable(running: Playground) -> None:
    outcome = await run(running, HOSTILE, inputs={"act": "bury"})
    assert outcome.status in {"success", "failed"}
    assert outcome.types[-1] in {"run.complete", "run.failed"}
