"""``agent``: one worker on its own, for others to find and use."""

from __future__ import annotations

import asyncio
import re

import click

from aitp_playground.cli.process.settings import load_settings
from aitp_playground.cli.standalone.order import ANY_VERIFIED, Standalone
from aitp_playground.errors import ConfigurationError

_AID = re.compile(r"aid:[A-Za-z0-9:._-]{1,200}")
_MAX_NAMESPACE = 128


def _accepted(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if value != ANY_VERIFIED and not _AID.fullmatch(value):
            raise click.BadParameter(f"{ANY_VERIFIED}, or an AID")
    # One key has two AIDs, with the name of its suite and without (RFC-AITP-0001, section 5.3).
    return tuple({value.replace("aid:pubkey:ed25519:", "aid:pubkey:", 1): value for value in values}.values())


def _header_text(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not (0 < len(value) <= _MAX_NAMESPACE and value.isascii() and value.isprintable()):
        raise click.BadParameter(f"printable ASCII of at most {_MAX_NAMESPACE} characters")
    return value


@click.command("agent")
@click.argument("manifest")
@click.option("--enroll", is_flag=True, help="Enter it into the registry of the Control Plane, and keep it there.")
@click.option(
    "--accept",
    multiple=True,
    metavar=f"{ANY_VERIFIED}|AID",
    callback=_accepted,
    help="Who may shake hands with it: everybody whose manifest verifies, or the agent of this AID; may be repeated.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on; any free one by default.")
@click.option("--namespace", metavar="NS", callback=_header_text, help="Namespace to be registered under.")
def command(manifest: str, enroll: bool, accept: tuple[str, ...], port: int, namespace: str | None) -> int:
    """Run the agent of MANIFEST on its own until a signal, for scenarios of other playgrounds to find and use.

    MANIFEST is a file, or the name of one in _shared/agents of a scenarios directory. The agent listens on loopback and
    keeps its AID as long as STATE_DIR is kept. What it does is told on stderr. When it ends it leaves the registry,
    provided that CP_API_KEY is set; else its entry expires with its manifest.

    \b
    Example:
      aitp-playground agent analyzer --enroll --accept any-verified
    """
    settings = load_settings()
    settings.refuse_missing_model_key()
    if enroll and not settings.cp_base_url:
        raise ConfigurationError("--enroll needs CP_BASE_URL: the address of the Control Plane")
    if namespace is not None and not enroll:
        raise click.UsageError("--namespace goes with --enroll")
    from aitp_playground.cli.standalone.agent import run

    return asyncio.run(
        run(settings, Standalone(manifest=manifest, enroll=enroll, accept=accept, port=port, namespace=namespace))
    )
