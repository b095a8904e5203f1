"""Playgrounds whose agents write down every message, and what their log has to say of the same."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from aitp_playground.service import Playground
from tests.support.controls import SHIPPED, Control, write_controls
from tests.support.oracle import Document, Oracle, read_tap
from tests.support.playground import Outcome, playground_at, run


@dataclass(frozen=True)
class Tapped:
    """A playground whose agents are tapped."""

    running: Playground
    file: Path
    refs: dict[str, str]
    outside: frozenset[str] = frozenset()

    async def run(self, ref: str, template: str | None = None) -> tuple[Outcome, list[Document]]:
        self.file.unlink(missing_ok=True)
        outcome = await run(self.running, ref, template=template)
        return outcome, read_tap(self.file) if self.file.exists() else []


@contextlib.asynccontextmanager
async def tapped(
    base: Path, controls: Sequence[Control], outside: frozenset[str] = frozenset(), **settings: Any
) -> AsyncIterator[Tapped]:
    """The shipped scenarios as they are, and some controls, with workers that are tapped."""
    root, refs = write_controls(base, controls)
    shutil.copytree(SHIPPED, root, dirs_exist_ok=True)
    file = base / "tap"
    wrap_workers(root, "tapped.main", "TAP_WORKER", {"TAP_FILE": str(file)})
    async with playground_at(base / "state", scenarios_dir=str(root), **settings) as running:
        yield Tapped(running, file, refs, outside)


def wrap_workers(root: Path, module: str, name: str, env: Mapping[str, str]) -> None:
    """Have every manifest of this scenarios directory run ``module``, which finds in ``name`` what it is to run."""
    for path in (root / "_shared/agents").glob("*.yaml"):
        manifest = yaml.safe_load(path.read_text())
        entrypoint, host = manifest["spec"]["entrypoint"], manifest["spec"]["host"]
        host["env"] = {**env, name: entrypoint["value"]}
        host.pop("cwd", None)
        entrypoint["value"] = module
        path.write_text(yaml.safe_dump(manifest))


def judged(outcome: Outcome, messages: list[Document], outside: frozenset[str] = frozenset()) -> Oracle:
    """An oracle that has found nothing: nothing in the messages, and nothing in what the log tells of them."""
    oracle = Oracle(messages, outside)
    oracle.judge()
    assert oracle.seen["put off"] == 0
    assert told_of(outcome) == oracle.to_be_told, "what happened is not what the log tells of"
    logged = written_down(outcome)
    assert logged.items() <= oracle.tcts.items(), "a token that nobody has seen"
    unkept = [(oracle.tcts[jti]["iss"], oracle.tcts[jti]["sub"]) for jti in oracle.tcts.keys() - logged.keys()]
    assert sorted(unkept) == sorted(given_in_passing(outcome))
    return oracle


def told_of(outcome: Outcome) -> Counter[tuple[str, str, str]]:
    """Agent, event and jti, of each decision that the log tells of."""
    told: Counter[tuple[str, str, str]] = Counter()
    for kind in ("capability.invoked", "delegation.redeemed", "tct.renewal.issued", "handshake.answered"):
        told.update((str(event.get("agent_id")), kind, str(event.get("jti"))) for event in outcome.of(kind))
    for event in outcome.of("handshake.complete"):
        told[str(event.get("agent_id")), "handshake.complete", event.payload["tcts"][0]["jti"]] += 1
    return told


def given_in_passing(outcome: Outcome) -> list[tuple[str, str]]:
    """Initiator and responder of each handshake of one direction: both have to grant (RFC-AITP-0004, section 4), and
    what the initiator then grants is not kept."""
    one_way = [event.payload for event in outcome.of("handshake.complete") if event.payload["direction"] == "one"]
    kept = [claims for payload in one_way for claims in payload["tcts"]]
    assert len(kept) == len(one_way)
    return [(claims["sub"], claims["iss"]) for claims in kept]


def written_down(outcome: Outcome) -> dict[str, Document]:
    """jti -> claims, of every token that the log tells of."""
    found: dict[str, Document] = {}
    for event in outcome.events:
        for claims in (*event.payload.get("tcts", ()), *([event.payload["tct"]] if "tct" in event.payload else ())):
            claims = claims.get("claims", claims)
            assert found.setdefault(claims["jti"], claims) == claims
    return found
