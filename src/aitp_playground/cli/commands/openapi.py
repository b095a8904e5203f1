"""``openapi``: what the HTTP API takes and answers, for those who make clients of it."""

from __future__ import annotations

from pathlib import Path

import click

from aitp_playground.cli.terminal.lines import print_or_write


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

    print_or_write(openapi(), output)
    return 0
