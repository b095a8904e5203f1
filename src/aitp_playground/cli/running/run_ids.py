"""Runs as people name them: by an id, or by the beginning of one, as lists show it."""

from __future__ import annotations

import re
from typing import Any, Final, Protocol

from aitp_playground.errors import InvalidRequest, RunNotFound
from aitp_playground.uuids import is_uuid

#: Fewer characters would soon be those of another run as well.
SHORTEST: Final = 4
_BEGINNING: Final = re.compile(rf"(?=.{{{SHORTEST}}})[0-9a-f]{{1,8}}(-[0-9a-f-]{{0,27}})?", re.ASCII)
_PAGE: Final = 1000
_NAMED: Final = 5


class Lists(Protocol):
    """Who has a list of runs."""

    async def runs(self, *, limit: int, before: str | None = None) -> tuple[list[dict[str, Any]], str | None]:
        """A page, newest first, and where the next one begins."""


def may_name_a_run(text: str) -> bool:
    """Whether it is an id, or may be the beginning of one."""
    return is_uuid(text) or _BEGINNING.fullmatch(text.lower()) is not None


async def whole_id(lists: Lists, text: str) -> str:
    """The id of the run that is meant. Raises RunNotFound, and InvalidRequest where several begin so."""
    if is_uuid(text):
        return text
    found: list[str] = []
    before: str | None = None
    while True:
        page, before = await lists.runs(limit=_PAGE, before=before)
        found += [row["run_id"] for row in page if row["run_id"].startswith(text.lower())]
        if before is None:
            break
    if not found:
        raise RunNotFound(f"no run has an id that begins with {text!r} (aitp-playground runs lists them)")
    if len(found) > 1:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise InvalidRequest(f"several runs have ids that begin with {text!r}: {', '.join(found[:_NAMED])}{more}")
    return found[0]
