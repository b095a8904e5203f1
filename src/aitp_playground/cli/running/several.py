"""One run after the other, whatever becomes of each, and what is told when they are over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aitp_playground.cli.exits import (
    BROKEN_PIPE,
    CANCELLED,
    FAILED,
    OUTPUT_LOST,
    SUCCESS,
    UNPROVEN,
    WRONG,
    OutputLost,
    exit_code_of,
    explain,
)
from aitp_playground.cli.process.signals import Interrupts
from aitp_playground.cli.running.order import Order
from aitp_playground.cli.running.result import exit_code, print_document
from aitp_playground.cli.terminal.lines import say
from aitp_playground.errors import PlaygroundError

#: What each code of a run that is not as it should be means; the worst stands first.
_WORDS = {
    BROKEN_PIPE: "nobody reads its output",
    CANCELLED: "cancelled",
    FAILED: "failed",
    WRONG: "could not be run",
    OUTPUT_LOST: "its output was lost",
    UNPROVEN: "unproven",
}


@dataclass(frozen=True, slots=True)
class Told:
    """A run that was followed to its end. ``document`` makes the body of ``GET /runs/{id}``; ``lost``: what was told
    of it could not be written; ``steps``: the ids of all that it was to go through."""

    status: str
    proof: str | None
    document: Callable[[], bytes]
    lost: OutputLost | None
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of an order: its exit code, the document where one is wanted and the steps that were meant, and what
    kept it from being run, followed or printed."""

    code: int
    document: bytes | None = None
    failure: PlaygroundError | BrokenPipeError | None = None
    steps: tuple[str, ...] = ()


async def one_by_one(
    orders: Sequence[Order], run: Callable[[int], Awaitable[Told]], interrupts: Interrupts
) -> list[Ended]:
    """Run each; ``run`` is given the number of its order, and raises the errors of :mod:`aitp_playground.errors`.

    What was not begun when the end was asked for, or nobody read any more, is missing at the end.
    """
    ended: list[Ended] = []
    for number, order in enumerate(orders):
        if interrupts.asked.is_set() or (ended and ended[-1].code == BROKEN_PIPE):
            break
        ended.append(await _ended(order, run(number), interrupts))
        if len(orders) > 1 and isinstance(failure := ended[-1].failure, PlaygroundError):
            explain(failure)
    if not ended:
        say("cancelled before the run began", err=True)
    return ended


async def _ended(order: Order, running: Awaitable[Told], interrupts: Interrupts) -> Ended:
    document: bytes | None = None
    steps: tuple[str, ...] = ()
    try:
        told = await running
        steps = told.steps
        code = exit_code(told.status, told.proof, require_proof=order.require_proof)
        body = told.document() if order.as_json or order.kept else b""
        document = body if order.kept else None
        if order.as_json:
            await print_document(body, interrupts, line=order.as_line)
        elif told.lost is not None and code == SUCCESS:
            return Ended(OUTPUT_LOST, document, told.lost, steps)
    except BrokenPipeError as failure:
        return Ended(BROKEN_PIPE, document, failure, steps)
    except PlaygroundError as failure:
        return Ended(exit_code_of(failure), document, failure, steps)
    return Ended(code, document, steps=steps)


def report(junit: Path | None, orders: Sequence[Order], ended: Sequence[Ended]) -> int:
    """What came of them in a few words, the report where one is wanted, and the exit code: the worst one's.

    Raises what kept a lone order from its end, BrokenPipeError, and PlaygroundError for a report that cannot be
    written.
    """
    if junit is not None:
        _write_report(junit, orders, ended)
    left_out = [order.ref for order in orders[len(ended) :]]
    codes = {*(each.code for each in ended), *([CANCELLED] if left_out else [])}
    if len(orders) > 1:
        good = sum(each.code == SUCCESS for each in ended)
        say(f"{good} of {len(orders)} runs as they should be", bold=True, err=True)
        for order, each in zip(orders, ended, strict=False):
            if each.code != SUCCESS:
                say(f"  {order.ref}: {_WORDS[each.code]}", err=True)
        for ref in left_out:
            say(f"  {ref}: not come to", err=True)
    for each in ended:
        if each.failure is not None and (len(orders) == 1 or each.code == BROKEN_PIPE):
            raise each.failure
    return next((code for code in _WORDS if code in codes), SUCCESS)


def _write_report(file: Path, orders: Sequence[Order], ended: Sequence[Ended]) -> None:
    from aitp_playground.cli.running.junit import Tried, write_report

    tried = [
        Tried(order.ref, each.document, str(each.failure) if each.failure is not None else None, each.steps)
        for order, each in zip(orders, ended, strict=False)
    ]
    not_tried = [Tried(order.ref) for order in orders[len(ended) :]]
    try:
        write_report(file, [*tried, *not_tried], require_proof=orders[0].require_proof)
    except OSError as failure:
        raise PlaygroundError(f"{file} cannot be written: {failure.strerror}") from failure
