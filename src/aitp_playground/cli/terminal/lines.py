"""Lines for people, documents for programs. Scenario files are other people's text: nothing may drive the terminal."""

from __future__ import annotations

import codecs
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import click

from aitp_playground.cli.exits import OutputLost
from aitp_playground.errors import InvalidRequest
from aitp_playground.events.narration import plain

_LONGEST = 2000


def say(line: str, *, bold: bool = False, err: bool = False) -> None:
    """Print ``line``, unprintable characters escaped. Raises BrokenPipeError, OutputLost.

    Standard error that cannot be written costs the line alone.
    """
    text = plain(line, _LONGEST)
    if err:
        with contextlib.suppress(OSError):
            click.echo(text, err=True)
    else:
        _print(click.style(text, bold=True) if bold else text)


def print_json(document: Any, *, indent: int | None = 2) -> None:
    """Print ``document`` as JSON, indented or on one line, in ASCII where the output has no other characters.

    Raises as :func:`say`.
    """
    utf8 = codecs.lookup(sys.stdout.encoding or "ascii").name == "utf-8"
    _print(json.dumps(document, indent=indent, ensure_ascii=not utf8))


def print_text(text: str) -> None:
    """Print a document of our own that ends with its line break. Raises as :func:`say`."""
    _print(text.removesuffix("\n"))


def print_or_write(text: str, output: Path | None) -> None:
    """Print a document of our own, or write it to a file, whatever that held. Raises as :func:`say`, and
    InvalidRequest for a file that cannot be written."""
    if output is None:
        print_text(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as failure:
        raise InvalidRequest(f"{output} cannot be written: {failure.strerror}") from failure
    say(f"made {output}")


def _print(text: str) -> None:
    try:
        click.echo(text)
    except BrokenPipeError:
        raise
    except OSError as failure:
        raise OutputLost(f"standard output cannot be written: {failure.strerror}") from failure
