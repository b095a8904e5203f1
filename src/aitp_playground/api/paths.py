"""Parts of paths and bodies that name things, checked before anything is looked up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from aitp_playground.errors import RunNotFound, ScenarioNotFound

_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_PART = r"[a-z0-9][a-z0-9._-]{0,127}"
_REF = re.compile(rf"{_PART}/{_PART}@{_PART}", re.ASCII)


@dataclass(frozen=True)
class PathPart:
    """A placeholder of a path, and the JSON Schema of what can stand in its place where something is."""

    name: str
    about: str
    schema: Mapping[str, Any]


def _like(pattern: str) -> Mapping[str, Any]:
    return {"type": "string", "pattern": f"^{pattern}$"}


_ANY: Mapping[str, Any] = {"type": "string", "minLength": 1}
RUN_ID = PathPart("run_id", "The id of a run, as `POST /runs` gives it.", _like(_RUN_ID.pattern))
FIRST_RUN = PathPart("a", "The id of a run that is over.", RUN_ID.schema)
SECOND_RUN = PathPart("b", "The id of another one, or the same.", RUN_ID.schema)
PACK = PathPart("pack", "The pack of a scenario.", _like(_PART))
VERSIONED = PathPart("versioned", "`name@version` of a scenario.", _like(f"{_PART}@{_PART}"))
TEMPLATE = PathPart("name", "The name of a template.", _ANY)
AGENT_ID = PathPart("agent_id", "The id of an agent in the scenario.", _ANY)


def run_id_of(request: web.Request, part: PathPart = RUN_ID) -> str:
    """The run that stands here in this path. Raises RunNotFound for what cannot be a run's id."""
    run_id = request.match_info[part.name]
    if _RUN_ID.fullmatch(run_id) is None:
        raise RunNotFound("no run has this id")
    return run_id


def checked_ref(ref: str) -> str:
    """``<pack>/<scenario>@<version>``. Raises ScenarioNotFound for what cannot be one."""
    if _REF.fullmatch(ref) is None:
        raise ScenarioNotFound(f"no scenario has the ref {ref[:200]!r}; refs look like pack/scenario@version")
    return ref


def scenario_ref_of(request: web.Request) -> str:
    """The scenario of this path. The ``@`` may come percent-encoded."""
    return checked_ref(f"{request.match_info[PACK.name]}/{request.match_info[VERSIONED.name]}")
