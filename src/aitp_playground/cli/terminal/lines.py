"""Lines for people. Scenario files are other people's text: nothing in them may drive the terminal."""

from __future__ import annotations

import click

from aitp_playground.events.narration import plain

_LONGEST = 2000


def say(line: str, *, bold: bool = False, err: bool = False) -> None:
    """Print ``line``, unprintable characters escaped."""
    text = plain(line, _LONGEST)
    click.echo(click.style(text, bold=True) if bold else text, err=err)
