"""Parts of paths and bodies that name things, checked before anything is looked up."""

from __future__ import annotations

import re

from aiohttp import web

from aitp_playground.errors import RunNotFound, ScenarioNotFound

_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_PART = r"[a-z0-9][a-z0-9._-]{0,127}"
_REF = re.compile(rf"{_PART}/{_PART}@{_PART}", re.ASCII)


def run_id_of(request: web.Request, name: str = "run_id") -> str:
    """The run that stands under ``name`` in this path. Raises RunNotFound for what cannot be a run's id."""
    run_id = request.match_info[name]
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
    return checked_ref(f"{request.match_info['pack']}/{request.match_info['versioned']}")
