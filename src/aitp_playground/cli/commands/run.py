"""``run``: scenarios, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import click

from aitp_playground.cli import completion
from aitp_playground.cli.exits import exit_code_of, explain
from aitp_playground.cli.process.settings import load_settings
from aitp_playground.cli.process.signals import Interrupts
from aitp_playground.cli.running.inputs import input_options
from aitp_playground.cli.running.order import Order
from aitp_playground.cli.running.several import Ended, report
from aitp_playground.cli.running.where import http_url_option
from aitp_playground.cli.terminal.lines import say
from aitp_playground.config import Settings
from aitp_playground.errors import PlaygroundError
from aitp_playground.hosting.launcher import AgentLauncher
from aitp_playground.hosting.privacy import keep_private

_MAX_LABEL = 200
#: As the API has it; an emoji may hold characters that join others. Lone surrogates stand for bytes that are no UTF-8.
_NO_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def _one_line(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None and (len(value) > _MAX_LABEL or _NO_LINE.search(value)):
        raise click.BadParameter(f"a label is one line of at most {_MAX_LABEL} characters, without control characters")
    return value


def _writable(_ctx: click.Context, _param: click.Parameter, value: Path | None) -> Path | None:
    """A report that cannot be written is told before the runs, not after them."""
    if value is not None:
        from aitp_playground.cli.running.junit import check_writable

        if not value.absolute().parent.is_dir():
            raise click.BadParameter(f"{value.absolute().parent} is no directory")
        try:
            check_writable(value)
        except OSError as failure:
            raise click.BadParameter(f"{value} cannot be written: {failure.strerror}") from failure
    return value


@click.command("run")
@click.argument("refs", metavar="REF...", nargs=-1, required=True, shell_complete=completion.refs)
@input_options
@click.option(
    "--template", "-t", metavar="NAME", shell_complete=completion.templates, help="Run this variant of the scenario."
)
@click.option("--label", metavar="TEXT", callback=_one_line, help="A label to find the run by later.")
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON on stdout; the narration goes to stderr.")
@click.option(
    "--server", metavar="URL", callback=http_url_option, help="Run it on this playground instead of in this process."
)
@click.option(
    "--api-key",
    metavar="KEY",
    envvar="AITP_PLAYGROUND_API_KEY",
    show_envvar=True,
    help="The server's key. Better given by the environment: other users of this machine can read arguments.",
)
@click.option("--require-proof", is_flag=True, help="Exit 3 when the run succeeds but a claim could not be tried.")
@click.option(
    "--with-control-plane",
    is_flag=True,
    help="Start a development Control Plane for this run, in place of CP_BASE_URL, and tell what it saw.",
)
@click.option(
    "--junit",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_writable,
    help="Write a JUnit report to FILE: a suite per run, a case per step.",
)
@click.option("--watch", is_flag=True, help="Run again whenever a file of the scenarios or the agents changes.")
def command(
    refs: tuple[str, ...],
    pairs: tuple[str, ...],
    document: bytes | str | None,
    template: str | None,
    label: str | None,
    as_json: bool,
    require_proof: bool,
    server: str | None,
    api_key: str | None,
    with_control_plane: bool,
    junit: Path | None,
    watch: bool,
) -> int:
    """Run the scenario REF (pack/scenario@version) on real agents and tell what happens as it happens.

    Several are run one after the other, whatever becomes of each; with --json each is a line. The run is recorded in
    the database of STATE_DIR, beside those of a server; with --server, in the server's own. Ctrl-C cancels it, a second
    Ctrl-C ends at once.

    \b
    Exit codes: 0 success, 1 failed, 2 wrong usage, ref or inputs,
    3 unproven (with --require-proof), 130 cancelled. Of several the worst.

    \b
    Example:
      aitp-playground run intra-org/research-and-write@1.0.0 --input topic="zero trust"
    """
    orders = [
        Order(
            ref=ref,
            pairs=pairs,
            document=document,
            template=template,
            label=label,
            as_json=as_json,
            require_proof=require_proof,
            with_control_plane=with_control_plane,
            as_line=watch or len(refs) > 1,
            kept=junit is not None,
        )
        for ref in refs
    ]
    if server is not None:
        if with_control_plane or watch:
            flag = "--watch" if watch else "--with-control-plane"
            raise click.UsageError(f"{flag} is for runs in this process, --server names another")
        from aitp_playground.cli.running import remote

        return report(junit, orders, asyncio.run(remote.conduct(orders, server, api_key)))
    settings = load_settings(host="127.0.0.1", port=0)
    settings.refuse_missing_model_key()
    if watch:
        return asyncio.run(_watch(settings, orders, junit))
    return report(junit, orders, asyncio.run(_run(settings, orders)))


async def _run(settings: Settings, orders: Sequence[Order], interrupts: Interrupts | None = None) -> Sequence[Ended]:
    keep_private()
    with contextlib.nullcontext(interrupts) if interrupts is not None else Interrupts() as heeded:
        async with _starting_launcher(settings) as launcher, _control_plane(settings, orders[0]) as settings:
            # The rest of the service takes about as long to import as the fork server, on another core, to get ready.
            from aitp_playground.cli.running.local import conduct

            return await conduct(settings, orders, launcher, heeded)


async def _watch(settings: Settings, orders: Sequence[Order], junit: Path | None) -> int:
    """Run, wait for a change, run again; what is broken meanwhile is told. The last run's code."""
    from aitp_playground.cli.running import watching

    roots = watching.roots_of(settings)
    ours = await asyncio.to_thread(watching.written_by_runs, settings, junit)
    with Interrupts() as interrupts:
        while True:
            before = await asyncio.to_thread(watching.stamps, roots, ours)
            try:
                code = report(junit, orders, await _run(settings, orders, interrupts))
            except PlaygroundError as failure:
                code = exit_code_of(failure)
                explain(failure)
            if interrupts.asked.is_set():
                return code
            say(f"watching {len(before)} files; Ctrl-C ends", err=True)
            found = await watching.changed(roots, before, interrupts, ours)
            if not found:
                return code
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            say(f"changed: {found[0]}{more}", bold=True, err=True)


def _control_plane(settings: Settings, order: Order) -> AbstractAsyncContextManager[Settings]:
    if not order.with_control_plane:
        return contextlib.nullcontext(settings)
    from aitp_playground.cli.control_plane.embedded import embedded_control_plane

    return embedded_control_plane(settings, keep=False)


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
