"""The options by which client commands find their playground."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from aitp_playground.cli.running.where import http_url_option

_F = TypeVar("_F", bound=Callable[..., Any])


def client_options(command: _F) -> _F:
    """``--server`` and ``--api-key``."""
    key = click.option(
        "--api-key", metavar="KEY", envvar="AITP_PLAYGROUND_API_KEY", show_envvar=True, help="The server's key."
    )
    server = click.option(
        "--server",
        metavar="URL",
        callback=http_url_option,
        help="Ask this playground instead of the one of the settings.",
    )
    return server(key(command))


def run_id_argument(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """A callback: a run's id, or the beginning of one."""
    from aitp_playground.cli.running.run_ids import may_name_a_run

    if not may_name_a_run(value):
        raise click.BadParameter(f"{value!r} is not the id of a run (aitp-playground runs lists them)")
    return value
