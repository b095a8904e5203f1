"""Conducting the runs of ``run`` in this process: submit, tell, cancel when asked."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from aitp_playground.api.documents import run_document
from aitp_playground.cli.control_plane.contents import content_lines, contents_of_runs
from aitp_playground.cli.exits import OutputLost
from aitp_playground.cli.process.cancelling import cancelling
from aitp_playground.cli.process.signals import Interrupts
from aitp_playground.cli.process.startup import imported
from aitp_playground.cli.running.inputs import given_inputs
from aitp_playground.cli.running.order import Order
from aitp_playground.cli.running.several import Ended, Told, one_by_one
from aitp_playground.cli.terminal.announcements import Announcements
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
    """As :func:`~aitp_playground.cli.running.several.one_by_one`.

    Raises the errors of :mod:`aitp_playground.errors` before the first run, where an order cannot be meant.
    """
    imported()
    # The narration tells what happens; the log is for what goes wrong, unless a level was asked for.
    level = settings.log_level if "log_level" in settings.model_fields_set else "WARNING"
    logs = configure(level, settings.log_format)
    try:
        async with playground(settings, recover=False, launcher=launcher) as running:
            meant = [await _meant(running, order) for order in orders]

            async def run(number: int) -> Told:
                return await _run(running, settings, orders[number], meant[number], interrupts)

            return await one_by_one(orders, run, interrupts)
    finally:
        await asyncio.to_thread(logs.close)


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
    running: Playground, settings: Settings, order: Order, meant: tuple[NewRun, Scenario], interrupts: Interrupts
) -> Told:
    request, scenario = meant
    submitted = await running.directory.submit(request)
    view, lost = await _tell(running.directory, submitted.row.header.run_id, scenario, order, interrupts)
    if order.with_control_plane and not interrupts.asked.is_set():
        await _tell_what_the_control_plane_saw(settings, running.directory, view, order, interrupts)
    steps = tuple(step.id for step in scenario.spec.workflow.steps)
    return Told(view.row.summary.status, view.proof, lambda: run_document(view), lost, steps)


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
