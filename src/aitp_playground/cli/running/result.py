"""How a run that is over is handed to whoever called the command."""

from __future__ import annotations

import sys

from aitp_playground.cli.exits import CANCELLED, FAILED, SUCCESS, UNPROVEN


def exit_code(status: str, proof: str | None, *, require_proof: bool) -> int:
    """What a run of this status and proof means for the command."""
    match status:
        case "success":
            return UNPROVEN if require_proof and proof != "proven" else SUCCESS
        case "cancelled":
            return CANCELLED
        case _:
            return FAILED


def print_document(body: bytes) -> None:
    """The run as JSON, exactly these bytes; on a terminal with a line end, so that the prompt starts a line."""
    sys.stdout.buffer.write(body + b"\n" if sys.stdout.isatty() else body)
