"""A resolved scenario as data: what a run was started from, whatever becomes of the files.

::

    {"ref", "template", "scenario": {…}, "manifests": {agent id: {…}},       the canonical part, which the digest is of
     "agents_root", "source": {file: text}, "marks": [[path, file, line], …]}

The digest is the SHA-256, in hex, of the canonical part as JSON with sorted keys: the same scenario read from other
files, or on another machine, has the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from aitp_playground.errors import RegistryInvalid
from aitp_playground.scenarios.findings import Marks
from aitp_playground.scenarios.models import AgentManifest, ResolvedScenario, Scenario, StepSpec
from aitp_playground.scenarios.shape import shaped, shaped_steps

_CANONICAL = ("ref", "template", "scenario", "manifests")


def document_of(resolved: ResolvedScenario, marks: Marks, source: Mapping[str, str]) -> dict[str, Any]:
    """The whole of it. ``source``: the texts of the files it came from, by their names in ``marks``."""
    return {
        "ref": resolved.ref,
        "template": resolved.template,
        "scenario": resolved.scenario.model_dump(mode="json", by_alias=True),
        "manifests": {
            agent_id: manifest.model_dump(mode="json", by_alias=True)
            for agent_id, manifest in resolved.manifests.items()
        },
        "agents_root": str(resolved.agents_root),
        "source": dict(source),
        "marks": [[list(path), mark.file, mark.line] for path, mark in marks.items()],
    }


def digest_of(document: Mapping[str, Any]) -> str:
    """See the module docstring."""
    canonical = {name: document[name] for name in _CANONICAL}
    return sha256(orjson.dumps(canonical, option=orjson.OPT_SORT_KEYS)).hexdigest()


def encode(document: Mapping[str, Any]) -> bytes:
    """As it is stored."""
    return orjson.dumps(document)


def shown(digest: str, body: bytes) -> bytes:
    """As it is shown: with its digest, and without a path of this machine."""
    document = orjson.loads(body)
    del document["agents_root"]
    return orjson.dumps({"digest": digest, **document})


def restored(body: bytes, step_types: Mapping[str, type[StepSpec]]) -> ResolvedScenario:
    """The inverse. Raises RegistryInvalid when this release cannot carry it out any more."""
    document = orjson.loads(body)
    raw = document["scenario"]
    marks = Marks("scenario.yaml")
    steps, faults = shaped_steps(raw["spec"]["workflow"]["steps"], step_types, marks, ("spec", "workflow", "steps"))
    raw["spec"]["workflow"]["steps"] = steps
    scenario, more = shaped(Scenario, raw, marks)
    manifests: dict[str, AgentManifest] = {}
    for agent_id, given in document["manifests"].items():
        manifest, wrong = shaped(AgentManifest, given, marks)
        more += wrong
        if manifest is not None:
            manifests[agent_id] = manifest
    if faults or more or scenario is None:
        first = [*faults, *more][0]
        what = f"{first.field}: {first.message}"
        raise RegistryInvalid(f"this release cannot carry out what the run was started from: {what}")
    return ResolvedScenario.model_construct(
        ref=document["ref"],
        template=document["template"],
        scenario=scenario,
        manifests=manifests,
        agents_root=Path(document["agents_root"]),
    )
