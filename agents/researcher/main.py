"""The researcher: finds passages on a topic in the corpus it carries.

Beside the topic (or a text to find a topic in) it reads ``style`` and hands it on to whoever writes from its findings;
other keys are ignored.
"""

from __future__ import annotations

from typing import Any

from base.text.material import read_material
from base.text.prose import clip, defused
from base.text.rewording import reworded
from base.worker import Worker, WorkerContext
from researcher.report import deep_report, query_report

SYSTEM = (
    "Summarise the findings on the topic in at most five sentences, using nothing but the findings, and name the "
    "source of each statement in parentheses."
)
worker = Worker()


@worker.capability("research.query")
async def query(task: dict[str, Any], context: WorkerContext) -> dict[str, Any]:
    """The passages that best fit the topic, ranked, with a summary."""
    return await _summarised(query_report(read_material(task)), context)


@worker.capability("research.deep")
async def deep(task: dict[str, Any], context: WorkerContext) -> dict[str, Any]:
    """A search widened by what the first one found, grouped by theme."""
    return await _summarised(deep_report(read_material(task)), context)


async def _summarised(report: dict[str, Any], context: WorkerContext) -> dict[str, Any]:
    # Without findings a model would only invent some.
    answer = await reworded(context.llm if report["findings"] else None, SYSTEM, report, max_tokens=2_000)
    summary = {"summary": defused(clip(answer.text, 4_000))} if answer.text else {}
    return report | summary | answer.credit


if __name__ == "__main__":
    worker.run()
