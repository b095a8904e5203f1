"""The analyzer: ranks the risks that an article, a list of findings or a document speaks of."""

from __future__ import annotations

from typing import Any

from analyzer.report import risk_report
from base.text.material import read_material
from base.text.prose import clip, defused
from base.text.rewording import reworded
from base.worker import Worker, WorkerContext

SYSTEM = (
    "Sum up the risk analysis in at most five sentences for a decision maker. Use only the risks listed and do not "
    "change their order or rating."
)
worker = Worker()


@worker.capability("analyze.data")
async def analyze(task: dict[str, Any], context: WorkerContext) -> dict[str, Any]:
    """The risks, gravest first, with evidence, an overall rating and recommendations."""
    report = risk_report(read_material(task))
    answer = await reworded(context.llm if report["risks"] else None, SYSTEM, report, max_tokens=2_000)
    summary = {"summary": defused(clip(answer.text, 4_000))} if answer.text else {}
    return report | summary | answer.credit


if __name__ == "__main__":
    worker.run()
