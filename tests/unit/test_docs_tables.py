"""The pages on events, step outputs and expectations say what the code has: no more, no less."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from typing import Any

import pytest
import yaml
from pydantic.fields import FieldInfo

from aitp_playground.events import proof
from aitp_playground.events.vocabulary import AFTER_TERMINAL, ANYWHERE, FROM_AGENTS, TERMINAL_TYPES, TYPES, spec
from aitp_playground.observability.metrics import Metrics
from aitp_playground.scenarios import inputs, manifest_models, models, patterns, schemas, shape, source
from aitp_playground.scenarios.expectations import LONGEST_WAIT, Expectation
from aitp_playground.scenarios.findings import Marks
from aitp_playground.scenarios.shape import shaped_steps
from aitp_playground.scenarios.strict import Strict
from aitp_playground.sdk import FEATURES
from aitp_playground.steps import STEP_TYPES, Step
from tests.support import step_reference

from .test_docs_pages import DOCS, rows


def names(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


# -- events ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event_type", TYPES)
def test_an_event_is_on_the_page_with_its_fields(event_type: str) -> None:
    (cells,) = [cells for cells in rows("events.md") if cells[0] == f"`{event_type}`"]
    row = spec(event_type)
    assert row is not None
    _, fields, payload, says = cells
    assert names(fields) == row.must | {f"{name}?" for name in row.may - row.must}
    told = {"*"} if payload == "any" else names(payload)
    assert told == row.payload - ({"dropped"} if row.origin == "agent" else set())
    assert says


def test_no_event_is_on_the_page_that_there_is_none_of() -> None:
    assert {name for cells in rows("events.md") for name in names(cells[0])} == set(TYPES)


def test_each_event_stands_under_who_says_it() -> None:
    sections = re.split(r"^## ", (DOCS / "events.md").read_text(), flags=re.MULTILINE)[1:]
    from_agents = next(section for section in sections if section.startswith("What agents report"))
    told = set(re.findall(r"^\| `([a-z_.]+)` \|", from_agents, re.MULTILINE))
    assert told == {name for name in TYPES if (row := spec(name)) and row.origin == "agent"}


def test_what_any_event_may_have_and_what_may_follow_the_end_is_told() -> None:
    head = (DOCS / "events.md").read_text().partition("\n## ")[0]
    assert names(head) >= (ANYWHERE - {"payload"}) | FROM_AGENTS | AFTER_TERMINAL | set(TERMINAL_TYPES)


def test_which_events_may_as_well_not_come_is_told() -> None:
    (told,) = re.findall(r"no different: (.*?)\. When runs", (DOCS / "events.md").read_text(), re.DOTALL)
    always, _, alone = told.partition("no step")
    volatile = {name: row.volatile for name in TYPES if (row := spec(name))}
    assert names(always) == {name for name, how in volatile.items() if how == "yes"}
    assert names(alone) - {"peer"} == {name for name, how in volatile.items() if how == "alone"}


# -- step outputs ------------------------------------------------------------------------------------------------------


def written(node: ast.AST) -> set[str]:
    """Keys of dictionaries, and texts in tuples: the names that a step's outputs are made of."""
    found: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Dict):
            found |= {str(key.value) for key in part.keys if isinstance(key, ast.Constant)}
        if isinstance(part, ast.Tuple):
            found |= {
                item.value for item in part.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)
            }
        if isinstance(part, ast.Subscript) and isinstance(part.slice, ast.Constant):
            found.add(str(part.slice.value))
    return found


def sources(model: type[Step]) -> str:
    """The module of a step type, and the classes that it is made from."""
    bases = [cls for cls in model.__mro__[1:] if cls.__module__.startswith("aitp_playground.steps.")]
    parts = [inspect.getsource(sys.modules[model.__module__]), *map(inspect.getsource, bases)]
    return "\n".join(map(textwrap.dedent, parts))


def without_declaration(model: type[Step]) -> ast.AST:
    """What a step type does, and not what it says that it gives."""
    tree = ast.parse(sources(model))
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", None) == "gives":
            node.value = None
    return tree


def test_the_page_is_made_from_the_code() -> None:
    assert (DOCS / "steps.md").read_text() == step_reference.page(), "write it: make docs"


@pytest.mark.parametrize("name", STEP_TYPES)
def test_a_step_type_gives_what_it_declares(name: str) -> None:
    model = STEP_TYPES[name]
    told = {field.rstrip("?") for field in model.gives or ()}
    made = written(without_declaration(model))
    assert told - made - {"skipped"} == set(), "it declares a field that nothing makes"


@pytest.mark.parametrize("name", STEP_TYPES)
def test_a_step_type_declares_the_events_that_it_records(name: str) -> None:
    model = STEP_TYPES[name]
    text = sources(model)
    recorded = set(re.findall(r"\.record\(\s*\"([a-z_.]+)\"", text))
    recorded |= {event for call, event in RECORDED_BY.items() if re.search(rf"\b{call}\(", text)}
    assert recorded - FAULT_EVENTS <= set(model.causes)
    assert set(model.causes) <= set(TYPES)


#: What the helpers of steps record.
RECORDED_BY = {"degraded": "cp.degraded", "require_own_manifest": "manifest.verify_failed"}
FAULT_EVENTS = {"step.fault_injected", "step.fault_complete"}


@pytest.mark.parametrize("name", STEP_TYPES)
def test_a_step_type_declares_what_it_needs(name: str) -> None:
    model = STEP_TYPES[name]
    text = sources(model)
    assert (model.feature is not None) is bool(re.search(r"\b(unless_missing|missing)\(", text))
    assert model.feature is None or model.feature in FEATURES
    assert (model.control_plane == "always") is bool(re.search(r"\bskipped\(", text))
    assert (model.control_plane == "sometimes") is ("via_cp" in model.model_fields)


@pytest.mark.parametrize("name", STEP_TYPES)
def test_a_step_type_has_its_section_with_every_field(name: str) -> None:
    text = section("steps.md", name)
    fields = {alias(field, info) for field, info in STEP_TYPES[name].model_fields.items()}
    common = table(section("steps.md", "Every step"), "Field")
    assert table(text, "Field") | common == fields - {"type"}
    assert table(text, "Output") == {field.rstrip("?") for field in STEP_TYPES[name].gives or ()}


def alias(name: str, field: FieldInfo) -> str:
    return field.alias or name


# -- the other fields of files ----------------------------------------------------------------------------------------

#: What stands before a table on scenarios.md → the models whose fields it has, and by what prefix.
FIELDS: dict[str, dict[str, type[Strict]]] = {
    "`metadata` of a pack": {"": models.PackMetadata},
    "`metadata` of a scenario": {"": models.ScenarioMetadata},
    "`spec` of a scenario": {"": models.ScenarioSpec},
    "In a scenario (`spec.agents`": {"": models.AgentSpec},
    "A manifest (`AgentManifest`)": {
        "": manifest_models.AgentManifestSpec,
        "entrypoint.": manifest_models.Entrypoint,
        "host.": manifest_models.HostSpec,
        "aitp.": manifest_models.AgentAitp,
    },
    "\n## Trust": {"": models.TrustSpec},
}


@pytest.mark.parametrize("title", FIELDS)
def test_every_field_of_a_file_is_on_the_page(title: str) -> None:
    page = (DOCS / "scenarios.md").read_text()
    text = page.partition(title)[2].partition("| --- |")[2].partition("\n\n")[0]
    told = set()
    for cell in re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE):
        first, *others = re.findall(r"`([\w.]+)`", cell)
        within = first.rpartition(".")[0]
        told |= {first, *(f"{within}{name}" if name.startswith(".") else name for name in others)}
    fields = {
        f"{prefix}{alias(name, info)}"
        for prefix, model in FIELDS[title].items()
        for name, info in model.model_fields.items()
    }
    sections = {prefix.rstrip(".") for prefix in FIELDS[title]}
    assert told == fields - sections


# -- expectations ------------------------------------------------------------------------------------------------------


def section(page: str, title: str) -> str:
    return (DOCS / page).read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def table(text: str, head: str) -> set[str]:
    inside = text.partition(f"| {head} |")[2].partition("\n\n")[0]
    return set(re.findall(r"^\| `(\w+)\??` \|", inside, re.MULTILINE))


def test_every_operator_and_every_key_of_an_event_is_on_the_page() -> None:
    text = section("scenarios.md", "Expect")
    operators = {Expectation.model_fields[name].alias or name for name in Expectation.OPERATORS}
    assert table(text, "Operator") == operators
    others = set(Expectation.model_fields) - Expectation.OPERATORS - {"path", "event"}
    assert table(text, "Key") == others | {"min", "max"}
    assert f"(1 to {LONGEST_WAIT:,})" in text


def test_every_reason_to_be_unproven_is_on_the_page() -> None:
    text = section("scenarios.md", "Proof and control")
    doubts = inspect.getsource(proof.Proof).count("self._doubt(")
    assert text.partition("Doubts are:")[2].partition("\n\nHow many")[0].count("\n- ") == doubts + 2


# -- limits ------------------------------------------------------------------------------------------------------------

LIMITS: dict[str, int] = {
    "bytes of a file": source.MAX_BYTES,
    "levels": source.MAX_DEPTH,
    "values": source.MAX_VALUES,
    "steps of expanding (values, keys, and what merging copies)": source.MAX_WORK,
    "characters of all texts together": source.MAX_TEXT,
    "includes inside includes": source.MAX_INCLUDES,
    "faults told of one section": shape.MOST_FINDINGS,
    "levels of the inputs": schemas.MAX_DEPTH,
    "values that defaults bring, beyond those given": inputs.MOST_BROUGHT,
    "places looked at for defaults": inputs.MOST_LOOKED,
    "faults told": schemas.MOST_FAULTS,
    "characters of a pattern": patterns.MAX_PATTERN,
}


def test_the_limits_of_files_and_inputs_are_those_of_the_code() -> None:
    told = {cells[0]: cells[1] for cells in rows("scenarios.md") if len(cells) == 2 and cells[0] in LIMITS}
    assert told == {name: f"{value:,}" for name, value in LIMITS.items()}


# -- examples ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_a_snippet_of_steps_is_one_of_steps(page: str) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    for block in blocks:
        snippet: Any = yaml.safe_load(block)
        if isinstance(snippet, list):
            steps, findings = shaped_steps(snippet, STEP_TYPES, Marks(page), ())
            assert len(steps) == len(snippet), findings


def test_every_metric_is_on_the_page_with_its_type_and_labels() -> None:
    registry = Metrics(step_types=STEP_TYPES).registry
    known = {}
    for family in registry.collect():
        if family.name.startswith("aitp_playground_"):
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            suffix = "_total" if family.type == "counter" else ""
            known[family.name.removeprefix("aitp_playground_") + suffix] = (family.type, labels)
    page = (DOCS / "observability.md").read_text().partition("| Metric |")[2]
    rows = re.findall(r"(?m)^\| `(\w+)` \| (\w+) \| ([^|]*)\|", page)
    assert {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows} == known
