"""The writer: cited articles in the style asked for."""

from __future__ import annotations

from typing import Any

from base.text.material import read_material
from base.text.rewording import reworded
from base.worker import Worker, WorkerContext
from writer.compose import compose, recompose

SOURCED = (
    "Rewrite the article in a {style} style, in Markdown with second-level headings. Keep every statement within what "
    "the article says and keep the source numbers in brackets. Leave out the title and the list of sources."
)
UNSOURCED = (
    "Write a short article on the topic in a {style} style, in Markdown with second-level headings and without a "
    "title. Say in its first sentence that it rests on no source. Do not number or invent sources."
)
worker = Worker()


@worker.capability("write.content")
async def write(task: dict[str, Any], context: WorkerContext) -> dict[str, Any]:
    """An article from findings, a document, a prompt or just a topic, in ``style`` (casual unless given)."""
    article = compose(read_material(task))
    system = SOURCED if article["citations"] else UNSOURCED
    answer = await reworded(context.llm, system.format(style=article["style"]), article, max_tokens=4_000)
    if answer.text is None:
        return article | answer.credit
    if rewritten := recompose(article, answer.text):
        return rewritten | answer.credit
    note = "the language model's text did not keep the sources; this is the worker's own text"
    return article | {"written_by": "worker", "note": note}


if __name__ == "__main__":
    worker.run()
