"""``openapi``: what the HTTP API takes and answers, for those who make clients of it."""

from __future__ import annotations

from pathlib import Path

import click

from aitp_playground.cli.terminal.lines import print_text, say
from aitp_playground.errors import InvalidRequest


@click.command("openapi")
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file, whatever it held."
)
def command(output: Path | None) -> int:
    """Print the OpenAPI 3.1 document of the HTTP API, as GET /openapi.json answers it.

    \b
    Example:
      aitp-playground openapi --output openapi.json
    """
    # Imported here: it brings the whole API along.
    from aitp_playground.api import openapi

    text = openapi()
    if output is None:
        print_text(text)
        return 0
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as failure:
        raise InvalidRequest(f"{output} cannot be written: {failure.strerror}") from failure
    say(f"made {output}")
    return 0
