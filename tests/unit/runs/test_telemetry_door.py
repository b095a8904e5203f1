"""When an agent's spans are exported: once, however often and with whatever luck their batch is sent."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from aitp_playground.actors import ActorRef, ActorStopped, AskTimeout, Lane, MailboxFull
from aitp_playground.errors import Overloaded, StoreUnavailable, Unauthorized
from aitp_playground.observability.metrics import Metrics
from aitp_playground.observability.tracing import Tracing
from aitp_playground.runs.intake.batches import TelemetryDoor
from aitp_playground.runs.messages import RunMessage
from aitp_playground.runs.tokens import TelemetryTokens
from tests.support.spans import Kept, told

RUN = "00000000-0000-4000-8000-000000000001"
SPAN = told()
EVENT = {"emitter_seq": 1, "type": "capability.invoked"}


class Run:
    """An actor's address that answers with what is next of ``answers``, once ``gate`` is open."""

    def __init__(self, *answers: tuple[int, int] | Exception) -> None:
        self.answers = list(answers)
        self.gate = asyncio.Event()
        self.gate.set()

    async def ask(self, _message: RunMessage, *, timeout: float) -> Any:
        answer = self.answers.pop(0)
        await self.gate.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer


def door(run: Run) -> tuple[TelemetryDoor, Kept]:
    """What takes batches of the tokens ``writer`` and ``analyzer``, agents of these names."""
    tokens, sink = TelemetryTokens(), Kept()
    for agent_id in ("writer", "analyzer"):
        tokens.admit(agent_id, cast("ActorRef[RunMessage]", run), agent_id, RUN)
    return TelemetryDoor(tokens, Metrics(step_types=()), Tracing(sink)), sink


@pytest.mark.parametrize(
    ("trouble", "told_the_agent"),
    [
        (MailboxFull("run", Lane.DATA), Overloaded),
        (AskTimeout("run", 10.0), Overloaded),
        (StoreUnavailable("full"), StoreUnavailable),
        (ActorStopped("run"), Unauthorized),
        (Unauthorized("over"), Unauthorized),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_spans_of_a_batch_that_is_refused_are_exported_when_it_is_taken(
    trouble: Exception, told_the_agent: type[Exception]
) -> None:
    # Of a batch that the run took too late no event is new when it comes again.
    taking, sink = door(Run(trouble, (0, 1)))
    with pytest.raises(told_the_agent):
        await taking.take("writer", 1, [EVENT], [SPAN])
    assert sink.spans == []
    await taking.take("writer", 1, [EVENT], [SPAN])
    assert [span.agent for span in sink.spans] == ["writer"]


async def test_spans_of_a_batch_whose_answer_was_lost_are_not_exported_again_and_those_added_to_it_are() -> None:
    taking, sink = door(Run((1, 1), (0, 1), (1, 1)))
    await taking.take("writer", 1, [EVENT], [SPAN])
    await taking.take("writer", 1, [EVENT], [SPAN, told(span_id="a" * 16)])
    await taking.take("analyzer", 1, [EVENT], [SPAN])
    assert [(span.agent, span.span_id[0]) for span in sink.spans] == [
        ("writer", "1"),
        ("writer", "a"),
        ("analyzer", "1"),
    ]


async def test_a_batch_that_is_sent_again_while_it_is_being_taken_is_exported_once() -> None:
    run = Run((1, 1), (0, 1))
    taking, sink = door(run)
    run.gate.clear()
    async with asyncio.TaskGroup() as both:
        for _ in range(2):
            both.create_task(taking.take("writer", 1, [EVENT], [SPAN]))
        run.gate.set()
    assert len(sink.spans) == 1
