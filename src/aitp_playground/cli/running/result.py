"""How a run that is over is handed to whoever called the command."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that is over: what it means for the command, and where its order wants it kept the body of
    ``GET /runs/{id}``."""

    code: int
    document: bytes | None


def worst(codes: Iterable[int], *, left_out: bool = False) -> int:
    """What several runs mean together: cancelled, failed, unproven, success, whichever of them comes first."""
    found = {*codes, *([CANCELLED] if left_out else [])}
    return next((code for code in (CANCELLED, FAILED, UNPROVEN) if code in found), SUCCESS)


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
