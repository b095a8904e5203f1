"""``control-plane``: the development Control Plane, until a signal."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import sqlite3
from pathlib import Path

import click

from aitp_playground.cli.process.settings import load_settings
from aitp_playground.config import LOOPBACK_HOSTS, Settings
from aitp_playground.control_plane.db import MEMORY
from aitp_playground.control_plane.misbehaviour.switches import SwitchInvalid
from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.trust.identity import SeedInvalid
from aitp_playground.errors import ConfigurationError
from aitp_playground.observability.redaction import SECRETS

DEFAULT_PORT = 4000
DATABASE = "control-plane.db"


@click.command("control-plane")
@click.option("--host", default="127.0.0.1", show_default=True, help="Loopback address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen on; 0 takes any free one.",
)
@click.option(
    "--api-key",
    "api_keys",
    multiple=True,
    metavar="KEY",
    help="A key to let in; may be repeated. Others on this machine can read it here: CP_API_KEY is more private.",
)
@click.option("--db", "database", metavar="PATH", help=f"Database file, or {MEMORY}; in STATE_DIR by default.")
@click.option(
    "--seed-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the seed of its AID (64 hex digits), made when missing; beside the database by default.",
)
@click.option(
    "--switch",
    "switches",
    multiple=True,
    metavar="'FAULT NAME=VALUE …'",
    help="Misbehave from the start, as in 'status status=503 calls=3'; may be repeated.",
)
@click.option(
    "--time-scale",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    help="Multiplies its waits: delivery retries, circuit breakers, sweeps, heartbeats.",
)
@click.option(
    "--allow-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="A name beside those of loopback under which it may be asked, and whose pages may ask; may be repeated.",
)
@click.option("--rate-limits", is_flag=True, help="Answer 429 beyond a real one's stock limits.")
def command(
    host: str,
    port: int,
    api_keys: tuple[str, ...],
    database: str | None,
    seed_file: Path | None,
    switches: tuple[str, ...],
    time_scale: float,
    rate_limits: bool,
    allowed_hosts: tuple[str, ...],
) -> int:
    """Run a Control Plane for development: registry, events, revocation, webhooks.

    It answers as a real one does and is on loopback only. Without --api-key it lets in CP_API_KEY, and when that is
    empty too, a key that it makes up and prints. Paste the lines it prints into .env for a playground to use it.

    \b
    Example:
      aitp-playground control-plane --port 4000
    """
    if host not in LOOPBACK_HOSTS:
        raise ConfigurationError(f"--host {host}: the development Control Plane listens on loopback only")
    settings = load_settings()
    configured = settings.cp_api_key.get_secret_value()
    keys = api_keys or ((configured,) if configured else ())
    if "" in keys:
        raise ConfigurationError("--api-key must not be empty")
    SECRETS.add(*keys)
    options = Options(
        host=host,
        port=port,
        database=database or _default_database(settings),
        api_keys=keys,
        seed_file=seed_file,
        time_scale=time_scale,
        rate_limits=rate_limits,
        switches=switches,
        allowed_hosts=allowed_hosts,
    )
    asyncio.run(_serve(settings, options))
    return 0


def _default_database(settings: Settings) -> str:
    from aitp_playground import private_files

    return str(private_files.directory(settings.state_dir) / DATABASE)


async def _serve(settings: Settings, options: Options) -> None:
    from aitp_playground.cli.process.parent import end_with_parent
    from aitp_playground.cli.process.signals import Interrupts
    from aitp_playground.cli.process.startup import imported
    from aitp_playground.cli.terminal.announcements import Announcements
    from aitp_playground.control_plane.server import control_plane
    from aitp_playground.hosting.privacy import keep_private
    from aitp_playground.observability.logging import configure

    imported()
    # The key may have come by the environment, which agents of the same user could read.
    keep_private()
    logs = configure(settings.log_level, settings.log_format)
    try:
        with Interrupts() as interrupts:
            async with control_plane(options) as running, contextlib.AsyncExitStack() as stack:
                SECRETS.add(running.key)
                announcements = Announcements()
                stack.push_async_callback(asyncio.to_thread, announcements.close)
                announcements.say(f"aitp-playground control-plane listens on {running.url}")
                announcements.say(f"CP_BASE_URL={running.url}")
                announcements.say(f"CP_AID={running.aid}")
                if not options.api_keys:
                    announcements.say(f"CP_API_KEY={running.key}")
                end_with_parent(interrupts)
                await interrupts.asked.wait()
    except (SeedInvalid, SwitchInvalid) as wrong:
        raise ConfigurationError(str(wrong)) from wrong
    except (OSError, sqlite3.Error) as failure:
        if isinstance(failure, OSError) and failure.errno == errno.EADDRINUSE:
            taken = f"cannot listen on {options.host}:{options.port}: {failure.strerror}; choose another --port"
            raise ConfigurationError(taken) from failure
        raise ConfigurationError(f"the Control Plane cannot start: {failure}") from failure
    finally:
        await asyncio.to_thread(logs.close)
