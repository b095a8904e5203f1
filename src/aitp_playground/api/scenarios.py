"""The registry: packs, scenarios, templates."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from aiohttp import web
from pydantic import WithJsonSchema
from typing_extensions import TypedDict

from aitp_playground.api.answers import answer
from aitp_playground.api.backend import BACKEND
from aitp_playground.api.contract.operations import Answer, Tag, operation
from aitp_playground.api.paths import PACK, TEMPLATE, VERSIONED, scenario_ref_of
from aitp_playground.errors import RegistryInvalid, ScenarioNotFound, TemplateNotFound
from aitp_playground.scenarios.loaded import LoadedScenario, describe_pack
from aitp_playground.scenarios.models import (
    AgentSpec,
    AitpPolicy,
    InputsSpec,
    ScenarioMetadata,
    ScenarioPack,
    TrustSpec,
)
from aitp_playground.steps import STEP_TYPES

TAG = Tag("Scenarios", "What can be run.")
_OF_A_SCENARIO = (ScenarioNotFound, RegistryInvalid)


class Packs(TypedDict):
    """In order of their names."""

    packs: list[ScenarioPack]


class ListedScenario(TypedDict):
    """`ref` is what `POST /runs` takes."""

    ref: str
    metadata: ScenarioMetadata


class ListedFault(TypedDict):
    """A file that cannot be used, and why."""

    file: str
    line: int
    message: str


class Scenarios(TypedDict):
    """A broken file is told under `errors` and hides nothing else."""

    scenarios: list[ListedScenario]
    errors: list[ListedFault]


class ListedTemplate(TypedDict):
    """A variant of a scenario."""

    name: str
    summary: str


class Templates(TypedDict):
    """The variants of a scenario, by name."""

    templates: list[ListedTemplate]


class TemplateChoice(TypedDict):
    """A variant, in the words of a console; `id` and `name` are the same."""

    id: str
    name: str
    description: str
    variants: list[Any]


#: A step type has fields of its own, which the schema of scenario files has: it is made from the same models.
ShownStep = Annotated[
    Any,
    WithJsonSchema(
        {
            "type": "object",
            "description": "The other fields are those of its type: docs/steps.md, and `aitp-playground schema`.",
            "required": ["id", "type"],
            "properties": {"id": {"type": "string"}, "type": {"enum": sorted(STEP_TYPES)}},
        }
    ),
]


class ShownWorkflow(TypedDict):
    """The ordered steps."""

    steps: list[ShownStep]


class ShownSpec(TypedDict):
    """`spec` of a scenario, its defaults filled in."""

    inputs: InputsSpec
    agents: list[AgentSpec]
    trust: TrustSpec
    workflow: ShownWorkflow
    aitp: NotRequired[AitpPolicy]
    templates: list[TemplateChoice]


class ShownScenario(TypedDict):
    """A scenario as it was parsed."""

    apiVersion: Literal["aitp.dev/v1"]
    kind: Literal["ScenarioVersion"]
    metadata: ScenarioMetadata
    spec: ShownSpec
    templates: list[ListedTemplate]


@operation("listPacks", "List packs", Answer("The packs.", Packs))
async def list_packs(request: web.Request) -> web.Response:
    """Every pack there is."""
    packs = await request.app[BACKEND].catalog.packs()
    return answer({"packs": [describe_pack(pack) for pack in packs]})


@operation("listScenarios", "List scenarios", Answer("The scenarios.", Scenarios))
async def list_scenarios(request: web.Request) -> web.Response:
    """What can be run; a broken file stands under ``errors`` and hides nothing else."""
    scenarios, errors = await request.app[BACKEND].catalog.scenarios()
    return answer(
        {
            "scenarios": [scenario.listed() for scenario in scenarios],
            "errors": [finding.as_listed() for finding in errors],
        }
    )


@operation(
    "getScenario",
    "Get a scenario",
    Answer("The scenario.", ShownScenario),
    path=(PACK, VERSIONED),
    raises=_OF_A_SCENARIO,
)
async def show_scenario(request: web.Request) -> web.Response:
    """The parsed file."""
    return answer((await _scenario(request)).describe())


@operation(
    "listTemplates",
    "List the templates of a scenario",
    Answer("The templates.", Templates),
    path=(PACK, VERSIONED),
    raises=_OF_A_SCENARIO,
)
async def list_templates(request: web.Request) -> web.Response:
    """The variants of one scenario."""
    return answer({"templates": (await _scenario(request)).describe_templates()})


@operation(
    "getTemplate",
    "Get a scenario with a template merged in",
    Answer("The scenario that the template makes.", ShownScenario),
    path=(PACK, VERSIONED, TEMPLATE),
    raises=(TemplateNotFound, *_OF_A_SCENARIO),
)
async def show_template(request: web.Request) -> web.Response:
    """The scenario with one template merged in."""
    return answer((await _scenario(request)).describe(request.match_info["name"]))


async def _scenario(request: web.Request) -> LoadedScenario:
    return await request.app[BACKEND].catalog.scenario(scenario_ref_of(request))


ROUTES = [
    web.get("/packs", list_packs),
    web.get("/scenarios", list_scenarios),
    web.get("/scenarios/{pack}/{versioned}", show_scenario),
    web.get("/scenarios/{pack}/{versioned}/templates", list_templates),
    web.get("/scenarios/{pack}/{versioned}/templates/{name}", show_template),
]
