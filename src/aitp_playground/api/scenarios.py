"""The registry: packs, scenarios, templates."""

from __future__ import annotations

from aiohttp import web

from aitp_playground.api.answers import answer
from aitp_playground.api.backend import BACKEND
from aitp_playground.api.paths import scenario_ref_of
from aitp_playground.scenarios.loaded import LoadedScenario, describe_pack


async def list_packs(request: web.Request) -> web.Response:
    """Every pack there is."""
    packs = await request.app[BACKEND].catalog.packs()
    return answer({"packs": [describe_pack(pack) for pack in packs]})


async def list_scenarios(request: web.Request) -> web.Response:
    """What can be run; a broken file stands under ``errors`` and hides nothing else."""
    scenarios, errors = await request.app[BACKEND].catalog.scenarios()
    return answer(
        {
            "scenarios": [scenario.listed() for scenario in scenarios],
            "errors": [finding.as_listed() for finding in errors],
        }
    )


async def show_scenario(request: web.Request) -> web.Response:
    """The parsed file."""
    return answer((await _scenario(request)).describe())


async def list_templates(request: web.Request) -> web.Response:
    """The variants of one scenario."""
    return answer({"templates": (await _scenario(request)).describe_templates()})


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
