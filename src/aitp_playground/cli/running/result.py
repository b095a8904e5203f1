"""How a run that is over is handed to whoever called the command."""

from __future__ import annotations

import sys

from aitp_playground.cli.exits import CANCELLED, FAILED, SUCCESS, UNPROVEN
from aitp_playground.cli.process.signals import Interrupts
from aitp_playground.cli.terminal.patience import lost, written
from aitp_playground.observability.sink import LineSink


def exit_code(status: str, proof: str | None, *, require_proof: bool) -> int:
    """What a run of this status and proof means for the command."""
    match status:
        case "success":
            return UNPROVEN if require_proof and proof != "proven" else SUCCESS
        case "cancelled":
            return CANCELLED
        case _:
            return FAILED


async def print_document(body: bytes, interrupts: Interrupts, *, line: bool = False) -> None:
    """The run as JSON, exactly these bytes; as a line of several, and on a terminal, with a line end.

    A reader that takes its time holds up nobody who asks for the end. Raises BrokenPipeError, OutputLost.
    """
    sink = LineSink(sys.stdout, lambda _: b"", sys.maxsize)
    sink.write(body + b"\n" if line or sys.stdout.isatty() else body)
    await written(sink, interrupts)
    if isinstance(sink.failure, BrokenPipeError):
        raise sink.failure
    if (failure := lost(sink)) is not None:
        raise failure
