"""Who gets in, in what order, and what becomes of runs that are over."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from aitp_playground.errors import InvalidRequest, Overloaded, RunNotFound, RunNotTerminal
from aitp_playground.runs import lifecycle as module
from aitp_playground.runs.conducting.step_context import RunContext
from aitp_playground.runs.requests import NewRun
from aitp_playground.service import Playground
from tests.support.playground import follow, run

from .watching import ACT, DUO, launches, living, submit, terminals, unruly_playground, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_no_more_runs_at_once_than_allowed_and_the_others_in_order(tmp_path: Path) -> None:
    async with unruly_playground(tmp_path, max_concurrent_runs=2) as running:
        long = [await submit(running, ACT, inputs={"act": "sleep", "seconds": 600}) for _ in range(2)]
        runs = [*long, *[await submit(running, ACT) for _ in range(6)]]
        assert running.directory.load == (2, 6)
        for run_id in long:
            await running.directory.cancel(run_id)
        outcomes = [await follow(running, run_id) for run_id in runs]
    spans = [(outcome.events[0].ts, outcome.events[-1].ts) for outcome in outcomes]
    assert [start for start, _ in spans] == sorted(start for start, _ in spans)
    for start, _ in spans:
        assert sum(begun <= start < ended for begun, ended in spans) <= 2


async def test_too_many_waiting_runs_are_refused_also_when_they_come_at_once(tmp_path: Path) -> None:
    async with unruly_playground(tmp_path, max_concurrent_runs=1, max_pending_runs=2) as running:
        asked = [
            running.directory.submit(NewRun(scenario_ref=ACT, inputs={"act": "sleep", "seconds": 600}))
            for _ in range(10)
        ]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, Overloaded)]
        assert len(refused) == 7, "one runs, two wait, and the place of none is given twice"
        assert all("MAX_PENDING_RUNS" in answer.message for answer in refused)
        taken = [answer.row.header.run_id for answer in answers if not isinstance(answer, BaseException)]
        for run_id in taken:
            await running.directory.cancel(run_id)
        assert [(await follow(running, run_id)).status for run_id in taken] == ["cancelled"] * 3
        assert (await run(running, ACT)).status == "success"


async def test_one_key_makes_one_run_however_often_and_at_once_it_is_sent(clean: Playground) -> None:
    request = NewRun(scenario_ref=ACT, idempotency_key="once")
    answers = await asyncio.gather(*(clean.directory.submit(request) for _ in range(20)))
    assert len({answer.row.header.run_id for answer in answers}) == 1
    assert sorted(answer.existing for answer in answers) == [False] + [True] * 19
    with pytest.raises(InvalidRequest, match="different request"):
        await clean.directory.submit(NewRun(scenario_ref=ACT, idempotency_key="once", run_label="another"))
    assert (await follow(clean, answers[0].row.header.run_id)).status == "success"
    assert (await clean.directory.submit(request)).existing


async def test_a_caller_that_leaves_while_its_run_is_stored_leaves_a_run_that_starts(clean: Playground) -> None:
    request = NewRun(scenario_ref=ACT, idempotency_key="leaver")
    caller = asyncio.create_task(clean.directory.submit(request))
    async with asyncio.timeout(300):
        while not clean.directory.admission.opening_count:  # noqa: ASYNC110 - the moment lasts for one commit
            await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    answer = await clean.directory.submit(request)
    assert answer.existing
    async with asyncio.timeout(300):
        assert (await follow(clean, answer.row.header.run_id)).status == "success"


async def test_a_run_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    async with unruly_playground(tmp_path, run_timeout_secs=10) as running:
        with launches(running) as pids:
            outcome = await run(running, ACT, inputs={"act": "sleep", "seconds": 60})
            assert not living(pids)
    assert terminals(outcome) == ["run.failed"]
    assert outcome.view.error == "the run took more than 10 s (RUN_TIMEOUT_SECS)"
    assert len(outcome.of("step.failed", step_id="act")) == 1


@pytest.mark.parametrize("kind", ["manifest_404", "peer_offline"])
async def test_a_requested_fault_meets_the_eager_pair_aimed_at_its_target(clean: Playground, kind: str) -> None:
    outcome = await run(clean, DUO, template="apart", fault_injection={kind: ["callee"]})
    assert len(outcome.of("trust.failed", initiator="caller", target="callee")) == 1
    assert not outcome.of("trust.established")
    assert outcome.status == "success"


@pytest.mark.parametrize("kind", ["manifest_404", "peer_offline"])
async def test_a_requested_fault_meets_the_step_aimed_at_its_target(clean: Playground, kind: str) -> None:
    outcome = await run(clean, DUO, template="lazy", fault_injection={kind: ["callee"]})
    assert outcome.outputs["shake"]["fault_injected"] is True
    assert outcome.outputs["shake"]["kind"] == kind
    order = [event.type for event in outcome.events if event.get("step_id") == "shake" and "step." in event.type]
    assert order == ["step.started", "step.fault_injected", "step.fault_complete", "step.complete"]
    assert outcome.status == "success"
    doubt = f"step shake: the fault {kind} on callee, asked for with the run, took the place of what it is for"
    assert doubt in outcome.view.unproven_because


async def test_a_fault_that_has_no_effect_fails_the_run(clean: Playground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunContext, "faulted_url", lambda self, _kind, agent: self.agents.agent(agent).manifest_url)
    for template in ("apart", "lazy"):
        outcome = await run(clean, DUO, template=template, fault_injection={"peer_offline": ["callee"]})
        assert outcome.status == "failed"
        assert "the injected fault peer_offline on callee had no effect" in str(outcome.view.error)


async def test_a_failure_of_another_kind_is_not_taken_for_the_fault(
    clean: Playground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 404 where a refused connection was asked for demonstrates something else."""
    missing = lambda self, kind, agent_id: self.agents.agent(agent_id).manifest_url + "-missing"  # noqa: E731
    monkeypatch.setattr(RunContext, "faulted_url", missing)
    for template in ("apart", "lazy"):
        outcome = await run(clean, DUO, template=template, fault_injection={"peer_offline": ["callee"]})
        assert outcome.status == "failed"


async def test_a_fault_for_a_stranger_is_refused_at_the_door(clean: Playground) -> None:
    with pytest.raises(InvalidRequest, match="which is no agent of"):
        await submit(clean, DUO, fault_injection={"peer_offline": ["mallory"]})


async def test_a_fault_that_nothing_would_meet_is_refused_at_the_door(clean: Playground) -> None:
    with pytest.raises(InvalidRequest, match="names 'caller', which nobody calls"):
        await submit(clean, DUO, template="lazy", fault_injection={"peer_offline": ["caller"]})
    with pytest.raises(InvalidRequest, match="names 'caller', which nobody calls"):
        await submit(clean, DUO, template="apart", fault_injection={"manifest_404": ["callee", "caller"]})


async def test_one_agent_has_one_fault(clean: Playground) -> None:
    with pytest.raises(InvalidRequest, match=r"as does fault_injection\.peer_offline"):
        await submit(clean, DUO, fault_injection={"peer_offline": ["callee"], "manifest_404": ["callee"]})


async def test_only_a_run_that_is_over_is_deleted_and_others_do_not_notice(clean: Playground) -> None:
    doomed, other = await run(clean, ACT), await submit(clean, ACT, inputs={"act": "sleep", "seconds": 600})
    reader = asyncio.create_task(follow(clean, other))
    with pytest.raises(RunNotTerminal, match="cancel it first"):
        await clean.directory.delete(other)
    await clean.directory.delete(doomed.run_id)
    for look in (clean.directory.row, clean.directory.view, clean.directory.delete, clean.directory.cancel):
        with pytest.raises(RunNotFound):
            await look(doomed.run_id)
    with pytest.raises(RunNotFound):
        await clean.directory.agent_log(doomed.run_id, "worker")
    assert not reader.done()
    await clean.directory.cancel(other)
    assert (await reader).status == "cancelled"


async def test_the_oldest_finished_runs_beyond_the_retention_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PRUNE_EVERY", 5)
    async with unruly_playground(tmp_path, run_retention=3, max_concurrent_runs=1) as running:
        runs = [(await run(running, ACT)).run_id for _ in range(4)]
        live = await submit(running, ACT, inputs={"act": "sleep", "seconds": 0.2})
        await until(running, live, "step.started")
        await follow(running, live)
        kept = await pruned_to(running, 3)
    assert kept == [live, runs[3], runs[2]]
    async with unruly_playground(tmp_path, run_retention=1) as running:
        assert await pruned_to(running, 1) == [live]


async def pruned_to(running: Playground, count: int) -> list[str]:
    """The runs that are left, newest first, once no more than ``count`` are."""
    async with asyncio.timeout(300):
        while len(rows := (await running.directory.list_runs()).rows) > count:  # noqa: ASYNC110 - as for processes
            await asyncio.sleep(0.01)
    return [row.header.run_id for row in rows]
