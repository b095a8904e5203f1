"""Runs that are named by the beginning of their ids."""

from __future__ import annotations

from typing import Any

import pytest

from aitp_playground.cli.running.run_ids import may_name_a_run, whole_id
from aitp_playground.errors import InvalidRequest, RunNotFound

IDS = [f"{number:08x}-0000-4000-8000-000000000000" for number in (0xAAAA0001, 0xAAAA0002, 0xBBBB0001)]


class Paged:
    """A page holds one run."""

    async def runs(self, *, limit: int, before: str | None = None) -> tuple[list[dict[str, Any]], str | None]:
        assert limit > 0
        at = int(before or 0)
        return [{"run_id": IDS[at]}], str(at + 1) if at + 1 < len(IDS) else None


@pytest.mark.parametrize(("text", "meant"), [(IDS[1], 1), ("aaaa0002", 1), ("BBBB", 2), ("aaaa0001-0000-4", 0)])
async def test_it_is_found_on_whatever_page(text: str, meant: int) -> None:
    assert may_name_a_run(text)
    assert await whole_id(Paged(), text) == IDS[meant]


async def test_one_that_is_nobodys_or_several_runs_is_refused_and_they_are_named() -> None:
    with pytest.raises(RunNotFound, match="cccc"):
        await whole_id(Paged(), "cccc")
    with pytest.raises(InvalidRequest, match=f"{IDS[0]}, {IDS[1]}$"):
        await whole_id(Paged(), "aaaa")


@pytest.mark.parametrize(
    "text", ["", "aaa", "xyz1", "aaaa/..", "runs.log", "-1234", "aaaa0001x", "aaaa00010", "a" * 37]
)
def test_what_cannot_begin_an_id_names_no_run(text: str) -> None:
    assert not may_name_a_run(text)
