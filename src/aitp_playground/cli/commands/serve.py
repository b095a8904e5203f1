"""``serve``: the HTTP API, until a signal."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any

import click
import structlog

from aitp_playground import __version__
from aitp_playground.cli.process.settings import load_settings
from aitp_playground.config import Settings
from aitp_playground.observability.redaction import Vetted


@click.command("serve")
@click.option("--host", help="Address to listen on, instead of HOST.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on, instead of PORT; 0 takes any free one.")
@click.option(
    "--with-control-plane",
    is_flag=True,
    help="Start a development Control Plane as well, in place of CP_BASE_URL; it keeps its data in STATE_DIR.",
)
def command(host: str | None, port: int | None, with_control_plane: bool) -> int:
    """Serve the HTTP API until SIGINT, SIGTERM or SIGHUP.

    The first signal drains: no new runs, running ones get SHUTDOWN_GRACE_SECS and are then cancelled; runs that wait
    are kept for the next server. A second signal ends at once. The log goes to stderr.

    \b
    Example:
      aitp-playground serve --port 8080
    """
    overrides: dict[str, Any] = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = load_settings(**overrides)
    settings.refuse_open_door()
    settings.refuse_missing_model_key()
    asyncio.run(_serve(settings, with_control_plane=with_control_plane))
    return 0


async def _serve(settings: Settings, *, with_control_plane: bool) -> None:
    from aitp_playground.cli.control_plane.embedded import embedded_control_plane
    from aitp_playground.cli.process.signals import Interrupts
    from aitp_playground.cli.process.startup import imported
    from aitp_playground.cli.terminal.announcements import Announcements
    from aitp_playground.hosting.privacy import keep_private
    from aitp_playground.observability.logging import configure
    from aitp_playground.service import playground

    imported()
    keep_private()
    logs = configure(settings.log_level, settings.log_format)
    log = structlog.get_logger(__name__)
    try:
        async with contextlib.AsyncExitStack() as stack:
            interrupts = stack.enter_context(Interrupts())
            if with_control_plane:
                settings = await stack.enter_async_context(embedded_control_plane(settings, keep=True))
            running = await stack.enter_async_context(
                playground(settings, observers=[lambda _, stored: logs.event_line(stored)])
            )
            running.metrics.feed("log_lines_dropped", lambda: logs.lost)
            announcements = Announcements()
            stack.push_async_callback(asyncio.to_thread, announcements.close)
            announcements.say(f"aitp-playground listens on {running.url}")
            if with_control_plane:
                announcements.say(f"its Control Plane listens on {settings.cp_base_url}")
            for line in fail_modes(settings):
                announcements.say(line)
            in_effect = Vetted(settings.shown())
            log.info("service.started", version=__version__, pid=os.getpid(), url=running.url, settings=in_effect)
            await interrupts.asked.wait()
            log.info("service.draining", signal=interrupts.name, grace_secs=settings.shutdown_grace_secs)
        log.info("service.stopped")
    finally:
        await asyncio.to_thread(logs.close)


def fail_modes(settings: Settings) -> tuple[str, str]:
    """What agents do without a fresh revocation list, the Control Plane's and a peer's: a line for each."""
    match settings.revocation_fail_mode:
        case "fail_open":
            so = "without a fresh list of the Control Plane's agents go on"
        case "soft_fail":
            safe = ", ".join(settings.revocation_safe_caps)
            so = f"without a fresh list of the Control Plane's agents serve only {safe} and redeem nothing"
        case "fail_closed":
            so = (
                "without a fresh list of the Control Plane's agents refuse every call, so runs depend on the Control "
                "Plane"
            )
    peers = "go on" if settings.issuer_list_fail_mode == "fail_open" else "refuse the handshake"
    about_peers = f"without the list that a peer advertises agents {peers}"
    return (
        f"REVOCATION_FAIL_MODE is {settings.revocation_fail_mode}: {so}.",
        f"ISSUER_LIST_FAIL_MODE is {settings.issuer_list_fail_mode}: {about_peers}.",
    )
