"""Lines for people, documents for programs. Scenario files are other people's text: nothing may drive the terminal."""

from __future__ import annotations

import codecs
import contextlib
import json
import sys
from typing import Any

import click

from aitp_playground.events.narration import plain

_LONGEST = 2000


def say(line: str, *, bold: bool = False, err: bool = False) -> None:
    """Print ``line``, unprintable characters escaped. Standard error that cannot be written costs the line alone."""
    text = plain(line, _LONGEST)
    with contextlib.suppress(OSError) if err else contextlib.nullcontext():
        click.echo(click.style(text, bold=True) if bold else text, err=err)


def print_json(document: Any) -> None:
    """Print ``document`` as indented JSON, in ASCII where the output has no other characters."""
    utf8 = codecs.lookup(sys.stdout.encoding or "ascii").name == "utf-8"
    click.echo(json.dumps(document, indent=2, ensure_ascii=not utf8))
