"""What the agents' page says that the shipped agents take and give is what they take and give."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from aitp_playground.resources import scenarios_dir
from base.text.material import MAX_ENTRIES, MAX_TEXT, MAX_TOPIC
from base.worker import CapabilityError
from writer.styles import STYLES

from .test_capabilities import FUNCTIONS, Speaker, call

SECTION = (
    (Path(__file__).parents[3] / "docs/agents.md").read_text().split("## The shipped agents\n")[1].split("\n## ")[0]
)
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in SECTION.splitlines() if line.startswith("| ")]
TAKEN = {tuple(re.findall(r"`(\w+)`", cells[0])): cells[1] for cells in ROWS if len(cells) == 2 and "`" in cells[0]}
TOPICS, TEXTS, LISTS, CITATIONS, STYLE = TAKEN
GIVEN = {cells[1].strip("`"): cells for cells in ROWS if len(cells) == 3 and "`" in cells[0]}
#: A task that every worker finds something in, and one to find nothing in.
LEAKS = {"title": "Leaks", "passage": "Stolen keys leak without audit, a critical risk.", "source": "a note"}
FULL: dict[str, Any] = {"topic": "stolen tokens leak without audit", "style": "technical", "findings": [LEAKS]}
NOTHING: dict[str, Any] = {"topic": "banana bread"}


def fields(cell: str) -> dict[str, set[str]]:
    """The fields of an output, and those of the objects in them."""
    return {
        name: set(re.findall(r"`(\w+)`", inner)) for name, inner in re.findall(r"`(\w+\??)`(?: \(([^)]*)\))?", cell)
    }


def test_the_page_has_the_capabilities_of_the_manifests() -> None:
    offered: dict[str, set[str]] = {}
    for file in (scenarios_dir() / "_shared/agents").glob("*.yaml"):
        for capability in yaml.safe_load(file.read_text())["spec"]["aitp"]["offered_caps"]:
            offered.setdefault(capability, set()).add(file.stem)
    assert {name: set(re.findall(r"`([\w-]+)`", cells[0])) for name, cells in GIVEN.items()} == offered
    assert offered.keys() == FUNCTIONS.keys()


@pytest.mark.parametrize("name", GIVEN)
async def test_a_capability_gives_the_fields_of_the_page(name: str) -> None:
    told = fields(GIVEN[name][2])
    always = {field for field in told if not field.endswith("?")}
    outputs = [await call(name, task, model) for task in (FULL, NOTHING) for model in (None, Speaker(None))]
    for output in outputs:
        assert always <= output.keys() <= {field.rstrip("?") for field in told}
    sometimes = {field.rstrip("?") for field in told} - always
    assert sometimes <= {field for output in outputs for field in output}
    for field, inner in told.items():
        values = [output[field] for output in outputs if inner and field in output]
        objects = [one for value in values for one in (value if isinstance(value, list) else [value])]
        assert not inner or objects, f"nothing to hold {field} to"
        for one in objects:
            assert set(one) == inner, field


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize("field", TOPICS + TEXTS)
async def test_each_text_of_the_page_is_enough_and_has_its_limit(name: str, field: str) -> None:
    most = MAX_TOPIC if field in TOPICS else MAX_TEXT
    assert f"{most:,} characters" in TAKEN[TOPICS if field in TOPICS else TEXTS]
    assert await call(name, {field: "x" * most})
    with pytest.raises(CapabilityError, match=field) as refused:
        await call(name, {field: "x" * (most + 1)})
    assert refused.value.status == 400


@pytest.mark.parametrize("names", [TOPICS, TEXTS])
async def test_of_several_texts_the_first_that_is_not_empty_counts(names: tuple[str, ...]) -> None:
    task: dict[str, Any] = {}
    for field in reversed(names):
        task[field] = f"what {field} says"
        assert (await call("research.query", task))["topic"] == task[field]
    assert (await call("research.query", {**task, names[0]: " "}))["topic"] == task[names[1]]


@pytest.mark.parametrize("name", GIVEN)
async def test_each_list_of_the_page_is_enough_and_has_its_limit(name: str) -> None:
    (passage, statement) = re.findall(r"`(\w+)`", TAKEN[LISTS])
    for field, required in zip(LISTS, (passage, statement), strict=True):
        entry = {required: "Keys leak."}
        assert f"up to {MAX_ENTRIES} objects" in TAKEN[LISTS]
        assert await call(name, {field: [entry] * MAX_ENTRIES})
        for wrong in ([entry] * (MAX_ENTRIES + 1), [{}], ["Keys leak."], entry):
            with pytest.raises(CapabilityError, match=field):
                await call(name, {field: wrong})


async def test_citations_name_the_sources_of_the_numbers_in_the_text() -> None:
    article = await call("write.content", await call("research.query", FULL))
    cited = {**article, CITATIONS[0]: [{**one, "source": "a source of mine"} for one in article["citations"]]}
    risks = (await call("analyze.data", cited))["risks"]
    assert {risk["evidence"]["source"] for risk in risks} == {"a source of mine"}
    with pytest.raises(CapabilityError, match="citations"):
        await call("analyze.data", {**article, "citations": {}})


async def test_the_styles_of_the_page_are_the_writers() -> None:
    told = re.findall(r"`(\w+)`", TAKEN[STYLE])
    assert sorted(told) == sorted(STYLES)
    assert [(await call("write.content", {"topic": "t", "style": one}))["style"] for one in told] == told
    assert (await call("write.content", {"topic": "t"}))["style"] == re.search(r"`(\w+)` \(unless", TAKEN[STYLE])[1]  # type: ignore[index]
    assert (await call("research.query", {"topic": "t", "style": "x"}))["style"] == "x"
    with pytest.raises(CapabilityError, match="style"):
        await call("write.content", {"topic": "t", "style": "x"})
