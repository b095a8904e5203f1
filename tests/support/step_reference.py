"""``docs/steps.md``, made from the step types: ``python -m tests.support.step_reference FILE``, or ``make docs``."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from aitp_playground.scenarios.file_schema import file_schema, told
from aitp_playground.scenarios.models import AgentRef, StepRef, StepSpec
from aitp_playground.scenarios.names import Capability
from aitp_playground.scenarios.references import field_marks
from aitp_playground.sdk import FEATURES
from aitp_playground.steps import STEP_TYPES, Step
from aitp_playground.steps.faults import FAULT_OUTPUT, FaultableStep

_HEAD = """\
# Step types

<!-- Made from the code of the step types by `make docs`; change it there. -->

What each type of step does, what it takes, what its output holds, and which events it brings about. How steps are put
together is on [scenarios.md](scenarios.md#steps), what events hold on [events.md](events.md).

`outputs.<step>` is the output once a step is done: what `path` in its `expect` looks at, what
`{{ outputs.<step>.<path> }}` in a later one stands for, and what `GET /runs/{id}` shows. `?` marks what is there only
sometimes.

- An output is at most 1 MiB of JSON. A step that failed keeps what it had.
- **Without a Control Plane** steps that need one give their first field (`false`, or an empty list) and
  `skipped: "no cp"`. With one that fails, `error` is the reason class.
- **A step whose feature the installed SDK lacks** is skipped as unproven, with "feature not available" in its notes,
  and leaves no output. `GET /capabilities` says what there is.
- **A refusal** that is the answer of a call is `body`, `{"error": {"code", "message", "retryable", "details"?}}`:
  `code` is the standard's, and `details.reason`, for a caller that has proven who it is, the finer word. Both are in
  [agents.md](agents.md#refusals).
"""
_COMMON = """
## Every step

A step without `type` is a `workflow` step when it has `agent` and `capability`, and a `meta` step otherwise.
`on_mismatch` is of use where there is an `expect_status`. A `fault` is taken by
{faultable}.
See [Expect](scenarios.md#expect) and [Faults](scenarios.md#faults).

| Field | Takes | Default | Meaning |
| --- | --- | --- | --- |
{fields}

Every step brings about `step.started`, and one of `step.complete`, `step.failed` and `step.skipped`; one with a fault
`step.fault_injected` and `step.fault_complete` besides.

The output of a step with a fault, whatever its type:

| Output | Holds |
| --- | --- |
{fault}
"""


def page() -> str:
    """The whole page."""
    faultable = [f"`{name}`" for name, model in sorted(STEP_TYPES.items()) if issubclass(model, FaultableStep)]
    schema = file_schema(STEP_TYPES)["$defs"]
    common = [name for name in StepSpec.model_fields if name != "type"]
    lines = [
        _HEAD,
        "| Type | Does |",
        "| --- | --- |",
        *(f"| [`{name}`](#{name}) | {_first_sentence(model)} |" for name, model in sorted(STEP_TYPES.items())),
        _COMMON.format(
            faultable=f"{', '.join(faultable[:-1])} and {faultable[-1]}",
            fields="\n".join(_fields(FaultableStep, schema["DelegateStep"], common)),
            fault="\n".join(_outputs(FAULT_OUTPUT)),
        ),
        *(_section(name, model, schema) for name, model in sorted(STEP_TYPES.items())),
    ]
    return "\n".join(lines)


def _section(name: str, model: type[Step], schema: Mapping[str, Any]) -> str:
    lines = [f"## {name}", "", *(f"{_wrapped(part)}\n" for part in told(model.__doc__ or "").split("\n\n"))]
    lines[-1] = lines[-1].rstrip()
    own = [field for field in model.model_fields if field not in StepSpec.model_fields]
    if own:
        lines += ["", "| Field | Takes | Default | Meaning |", "| --- | --- | --- | --- |"]
        lines += _fields(model, schema[model.__name__], own)
    if model.gives is None:
        lines += ["", "Its output is what the capability answers: the agent's own JSON object."]
    elif model.gives:
        lines += ["", "| Output | Holds |", "| --- | --- |", *_outputs(model.gives)]
    else:
        lines += ["", "It gives nothing: `{}` with `expect`, and no output without."]
    if model.causes:
        lines += ["", _wrapped(f"Events: {', '.join(f'`{event}`' for event in model.causes)}.")]
    if needs := list(_needs(model)):
        lines += ["", _wrapped(f"Needs {' and '.join(needs)}.")]
    return "\n".join([*lines, ""])


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _needs(model: type[Step]) -> Iterator[str]:
    if model.feature is not None:
        names = ", ".join(f"`{name}`" for name in FEATURES[model.feature])
        when = f", {model.feature_when}" if model.feature_when else ""
        yield f"`{model.feature}` of the SDK ({names}){when}"
    if model.control_plane == "always":
        yield "a Control Plane, and is skipped without one"
    elif model.control_plane == "sometimes":
        yield "a Control Plane for what its fields ask of one"


def _first_sentence(model: type[Step]) -> str:
    return told(model.__doc__ or "").partition("\n")[0].partition(". ")[0].rstrip(".").replace("|", "\\|")


def _outputs(gives: Mapping[str, str]) -> Iterator[str]:
    for name, meaning in gives.items():
        yield f"| `{name}` | {meaning} |"


def _fields(model: type[Step], schema: Mapping[str, Any], names: list[str]) -> Iterator[str]:
    for name in names:
        field = model.model_fields[name]
        takes = _takes(schema["properties"][name], field_marks(model, name))
        yield f"| `{name}` | {takes} | {_default(field)} | {field.description} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return "" if field.default in (None, ()) else f"`{json.dumps(field.default)}`"


def _takes(schema: Mapping[str, Any], marks: tuple[Any, ...]) -> str:
    if "anyOf" in schema:
        forms = [form for form in schema["anyOf"] if form.get("type") != "null"]
        if forms[0].get("type") in {"integer", "boolean"}:
            forms = forms[:1]  # the others are other spellings of it
        elif forms[0].get("type") == "string":
            forms = [form for form in forms if form.get("type") != "integer"]  # text of digits alone
        return " or ".join(_takes(form, marks) for form in forms)
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2].lower()
    if schema.get("type") == "array":
        return f"list of {_plural(_takes(schema['items'], marks))}"
    for mark, word in ((AgentRef, "agent"), (StepRef, "earlier step")):
        if any(isinstance(found, mark) for found in marks):
            return word
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("pattern") == _CAPABILITY:
        return "capability"
    if schema.get("type") == "integer":
        return f"whole number, {schema['minimum']:,} to {schema['maximum']:,}"
    return {"boolean": "true or false", "string": "text", "object": "mapping"}[schema["type"]]


def _plural(word: str) -> str:
    return {"expectation": "checks", "capability": "capabilities", "text": "texts"}.get(word, f"{word}s")


_CAPABILITY = next(mark.pattern for mark in Capability.__metadata__[0].metadata if hasattr(mark, "pattern"))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
