"""Which playground a client command asks: the one that is named, else the one that the settings name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:  # ``run`` loads its settings when it is called
    from aitp_playground.config import Settings


@dataclass(frozen=True, slots=True)
class Where:
    """``named``: its user asked for this one; else this machine's database may stand in when nobody is there."""

    url: str
    named: bool


def where(server: str | None, settings: Settings) -> Where:
    """``--server``, else ``PLAYGROUND_BASE_URL``, else 127.0.0.1 and ``PORT``."""
    if server is not None:
        return Where(server.rstrip("/"), named=True)
    url = settings.playground_base_url or f"http://127.0.0.1:{settings.port}"
    return Where(url.rstrip("/"), named=False)


def http_url_option(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """A callback for an option that takes an absolute URL."""
    if value is None:
        return None
    # Imported here: most runs name no server.
    from aitp_playground.settings_values import http_url

    try:
        url = http_url(value)
    except ValueError as fault:
        raise click.BadParameter(str(fault)) from None
    if not url:
        raise click.BadParameter("must be an absolute http:// or https:// URL")
    return url
