"""Conducting one run for ``run``: submit, tell, cancel when asked, report."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from aitp_playground.api.documents import run_document
from aitp_playground.cli.control_plane.contents import content_lines, contents_of_runs
from aitp_playground.cli.exits import SUCCESS, OutputLost
from aitp_playground.cli.process.cancelling import cancelling
from aitp_playground.cli.process.signals import Interrupts
from aitp_playground.cli.process.startup import imported
from aitp_playground.cli.running.inputs import given_inputs
from aitp_playground.cli.running.order import Order
from aitp_playground.cli.running.result import Ended, exit_code, print_document
from aitp_playground.cli.terminal.announcements import Announcements
from aitp_playground.cli.terminal.lines import say
from aitp_playground.cli.terminal.live_run import LiveRun
from aitp_playground.cli.terminal.outputs import digest
from aitp_playground.cli.terminal.patience import written
from aitp_playground.config import Settings
from aitp_playground.hosting.launcher import AgentLauncher
from aitp_playground.observability.logging import configure
from aitp_playground.runs.directory import RunDirectory
from aitp_playground.runs.requests import NewRun, RunView
from aitp_playground.scenarios.models import Scenario
from aitp_playground.service import Playground, playground


async def conduct(
    settings: Settings, orders: Sequence[Order], launcher: AgentLauncher, interrupts: Interrupts
) -> list[Ended]:
    """One run after the other; what was not begun when the end was asked for is missing at the end.

    Raises the errors of :mod:`aitp_playground.errors`, before the first run where an order cannot be meant.
    """
    imported()
    # The narration tells what happens; the log is for what goes wrong, unless a level was asked for.
    level = settings.log_level if "log_level" in settings.model_fields_set else "WARNING"
    logs = configure(level, settings.log_format)
    ended: list[Ended] = []
    failures: list[OutputLost] = []
    try:
        async with playground(settings, recover=False, launcher=launcher) as running:
            meant = [await _meant(running, order) for order in orders]
            for order, request in zip(orders, meant, strict=True):
                if interrupts.asked.is_set():
                    break
                view, failure = await _run(running, order, request, interrupts)
                if order.with_control_plane and not interrupts.asked.is_set():
                    await _tell_what_the_control_plane_saw(settings, running.directory, view, order, interrupts)
                code = exit_code(view.row.summary.status, view.proof, require_proof=order.require_proof)
                document = run_document(view) if order.as_json or order.kept else b""
                ended.append(Ended(code, document if order.kept else None))
                if order.as_json:
                    await print_document(document, interrupts, line=order.as_line)
                elif failure is not None and code == SUCCESS:
                    failures.append(failure)
    finally:
        await asyncio.to_thread(logs.close)
    if not ended:
        say("cancelled before the run began", err=True)
    if failures:
        raise failures[0]
    return ended


async def _tell_what_the_control_plane_saw(
    settings: Settings, directory: RunDirectory, view: RunView, order: Order, interrupts: Interrupts
) -> None:
    seen = await contents_of_runs(settings, directory, [view.row.header.run_id])
    announcements = Announcements(sys.stderr if order.as_json else sys.stdout)
    for line in ("", *content_lines(seen)):
        announcements.say(line)
    await written(announcements.sink, interrupts)


async def _meant(running: Playground, order: Order) -> tuple[NewRun, Scenario]:
    loaded = await running.catalog.scenario(order.ref)
    scenario = loaded.scenario if order.template is None else loaded.template(order.template).merged
    request = NewRun(
        scenario_ref=order.ref,
        inputs=given_inputs(scenario.spec.inputs.json_schema, order.pairs, order.document),
        template=order.template,
        run_label=order.label,
    )
    return request, scenario


async def _run(
    running: Playground, order: Order, meant: tuple[NewRun, Scenario], interrupts: Interrupts
) -> tuple[RunView, OutputLost | None]:
    request, scenario = meant
    submitted = await running.directory.submit(request)
    return await _tell(running.directory, submitted.row.header.run_id, scenario, order, interrupts)


async def _tell(
    directory: RunDirectory, run_id: str, scenario: Scenario, order: Order, interrupts: Interrupts
) -> tuple[RunView, OutputLost | None]:
    live = LiveRun(sys.stderr if order.as_json else sys.stdout, len(scenario.spec.workflow.steps))
    try:
        async with cancelling(interrupts, lambda: directory.cancel(run_id, f"cancelled by {interrupts.name}")):
            async for batch in directory.stream(run_id):
                live.take(batch)
        view = await directory.view(run_id)
        live.finish(run_id, digest(view.outputs))
    finally:
        await live.close(interrupts)
    return view, live.lost()
