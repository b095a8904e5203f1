"""``run``: one scenario, in this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import click

from aitp_playground.cli.inputs import input_options
from aitp_playground.cli.interrupts import Interrupts
from aitp_playground.cli.settings import load_settings
from aitp_playground.config import Settings
from aitp_playground.hosting.launcher import AgentLauncher

_MAX_LABEL = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked for."""

    ref: str
    pairs: tuple[str, ...]
    document: str | None
    template: str | None
    label: str | None
    as_json: bool
    require_proof: bool


def _one_line(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None and (len(value) > _MAX_LABEL or not value.isprintable()):
        raise click.BadParameter(f"a label is one line of at most {_MAX_LABEL} characters")
    return value


@click.command("run")
@click.argument("ref")
@input_options
@click.option("--template", "-t", metavar="NAME", help="Run this variant of the scenario.")
@click.option("--label", metavar="TEXT", callback=_one_line, help="A label to find the run by later.")
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON on stdout; the narration goes to stderr.")
@click.option("--require-proof", is_flag=True, help="Exit 3 when the run succeeds but a claim could not be tried.")
def command(
    ref: str,
    pairs: tuple[str, ...],
    document: str | None,
    template: str | None,
    label: str | None,
    as_json: bool,
    require_proof: bool,
) -> int:
    """Run the scenario REF (pack/scenario@version) on real agents and tell what happens as it happens.

    The run is recorded in the database of STATE_DIR, beside those of a server. Ctrl-C cancels it in good order, a
    second Ctrl-C ends at once.

    \b
    Exit codes: 0 success, 1 failed, 2 wrong usage, ref or inputs,
    3 unproven (with --require-proof), 130 cancelled.

    \b
    Example:
      aitp-playground run intra-org/research-and-write@1.0.0 --input topic="zero trust"
    """
    settings = load_settings(host="127.0.0.1", port=0)
    order = Order(
        ref=ref,
        pairs=pairs,
        document=document,
        template=template,
        label=label,
        as_json=as_json,
        require_proof=require_proof,
    )
    return asyncio.run(_run(settings, order))


async def _run(settings: Settings, order: Order) -> int:
    with Interrupts() as interrupts:
        async with _starting_launcher(settings) as launcher:
            # The rest of the service takes about as long to import as the fork server, on another core, to get ready.
            from aitp_playground.cli.conducting import conduct

            return await conduct(settings, order, launcher, interrupts)


@contextlib.asynccontextmanager
async def _starting_launcher(settings: Settings) -> AsyncIterator[AgentLauncher]:
    """A launcher whose fork server is already a process; whether it comes up shows when it is used."""
    launcher = AgentLauncher.from_settings(settings)
    starting = asyncio.create_task(launcher.start(), name="start-launcher")
    try:
        # One turn of the loop is enough for the task to spawn the process.
        await asyncio.sleep(0)
        yield launcher
    finally:
        starting.cancel()
        await asyncio.wait({starting})
        if not starting.cancelled():
            starting.exception()
        await launcher.close()
