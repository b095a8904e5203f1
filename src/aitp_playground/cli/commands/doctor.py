"""``doctor``: whether this installation will work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import ModuleType

import click

from aitp_playground.cli.doctor.findings import Finding, error
from aitp_playground.cli.process.settings import load_settings
from aitp_playground.cli.terminal.lines import print_json, say
from aitp_playground.config import Settings
from aitp_playground.errors import ConfigurationError

_MARKS = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one finding a line.")
@click.option("--quick", is_flag=True, help="Start no agents.")
def command(as_json: bool, quick: bool) -> int:
    """Look at everything that a playground needs, and say what to do about what is wrong.

    Settings, interpreter, limit of open files, state directory, disk, run history, files with keys, port, who is let
    in, protocol SDK, traces, language model, scenarios, Control Plane, and a run of two agents. Nothing is changed.

    \b
    Exit codes: 0 all is well, or only warnings, 1 something will not work.

    \b
    Example:
      aitp-playground doctor
    """
    return asyncio.run(_tell(as_json=as_json, quick=quick))


async def _tell(*, as_json: bool, quick: bool) -> int:
    worst = 0
    async for finding in _findings(quick=quick):
        worst = max(worst, int(finding.verdict == "error"))
        if as_json:
            print_json(finding.document(), indent=None)
            continue
        say(f"{_MARKS[finding.verdict]}  {finding.check}: {finding.said}", bold=finding.verdict == "error")
        if finding.advice:
            say(f"         → {finding.advice}")
    return worst


async def _findings(*, quick: bool) -> AsyncIterator[Finding]:
    try:
        settings = load_settings()
    except ConfigurationError as failure:
        yield error("settings", failure.message, "docs/settings.md says what each may be")
        return
    # Imported here: --help needs none of it.
    from aitp_playground.cli.doctor import extras, machine

    broken = False
    for look in (
        machine.interpreter,
        machine.open_files,
        machine.state_directory,
        machine.database,
        machine.secrets,
        machine.port,
        machine.door,
        machine.protocol_sdk,
        extras.traces,
        extras.language_model,
    ):
        for finding in await asyncio.to_thread(list, look(settings)):
            broken = broken or (look is machine.protocol_sdk and finding.verdict == "error")
            yield finding
    if not broken:  # without the SDK the service cannot even be loaded
        async for finding in _of_the_service(settings, quick=quick):
            yield finding


async def _of_the_service(settings: Settings, *, quick: bool) -> AsyncIterator[Finding]:
    from aitp_playground.cli.doctor import service
    from aitp_playground.observability.logging import configure

    # What goes wrong is told as findings; the log only where it was asked for.
    logs = configure(settings.log_level if "log_level" in settings.model_fields_set else "ERROR", settings.log_format)
    try:
        async for finding in _asked_of(service, settings, quick=quick):
            yield finding
    finally:
        await asyncio.to_thread(logs.close)


async def _asked_of(service: ModuleType, settings: Settings, *, quick: bool) -> AsyncIterator[Finding]:
    async for finding in service.scenarios(settings):
        yield finding
    async for finding in service.control_plane(settings):
        yield finding
    if not quick:
        async for finding in service.agents(settings):
            yield finding
