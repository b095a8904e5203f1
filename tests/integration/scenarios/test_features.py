"""With an SDK that lacks something, what needs it is skipped and says so, and the run goes on and proves nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import aiohttp
import aitp
import pytest
import pytest_asyncio

from aitp_playground import sdk
from aitp_playground.service import Playground
from base.features import FEATURES
from tests.support.controls import (
    SHIPPED,
    Control,
    Document,
    every_step_ends_once,
    step,
    write_controls,
    write_variant,
)
from tests.support.playground import playground_at, run

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORKERS = {"researcher": "researcher", "writer": "writer", "analyzer": "analyzer", "researcher-oidc": "researcher"}


@dataclass(frozen=True)
class Case:
    """A scenario in which the agents in ``who`` (all, if none is named) have an SDK without ``name``."""

    scenario: str
    name: str
    #: The steps that are skipped for it, or could try only a part of what they claim.
    unproven: frozenset[str]
    who: tuple[str, ...] = ()
    edit: Callable[[Document], None] | None = None
    also: str = ""

    def __str__(self) -> str:
        return "-".join((self.scenario, self.name, *(self.who or ("all",)), *([self.also] if self.also else ())))

    def control(self) -> Control:
        def edited(document: Document) -> None:
            for agent in document["spec"]["agents"]:
                if not self.who or agent["id"] in self.who:
                    agent["ref"] += f"-without-{self.name.lower()}"
            if self.edit is not None:
                self.edit(document)

        return Control(str(self), f"intra-org/{self.scenario}@1.0.0", "", edited)


def in_a_step(initiator: str, responder: str) -> Callable[[Document], None]:
    """Both meet in a step of their own, not before the first."""

    def edit(document: Document) -> None:
        document["spec"]["trust"]["eager"] = False
        trust = step(document, "trust")
        trust.clear()
        trust |= {"id": "trust", "type": "handshake", "initiator": initiator, "responder": responder}

    return edit


RENEWED = frozenset({"renew", "write_under_renewed", "revoke"})
EXPORTED = frozenset({"export", "verify", "verify_after_revoke"})
VERIFIED = frozenset({"verify", "verify_after_revoke"})
COUNTED = frozenset({"cache-stats", "stats_after"})
CALLED = frozenset({"trust", "write_under_oidc"})
CASES = [
    Case("tct-renewal", "AitpAgent.build_renewal_request", RENEWED),
    Case("tct-renewal", "AitpAgent.build_renewal_request", RENEWED, ("researcher",)),
    Case("tct-renewal", "AitpAgent.process_renewal_request", RENEWED),
    Case("tct-renewal", "AitpAgent.process_renewal_request", RENEWED, ("writer",)),
    Case("session-bundle", "SessionBundleBuilder.build", EXPORTED),
    Case("session-bundle", "SessionBundleBuilder.build", EXPORTED, ("researcher",)),
    Case("session-bundle", "verify_session_bundle", VERIFIED, ("writer",)),
    Case("tct-cache-perf", "TctStore", COUNTED),
    Case("tct-cache-perf", "AitpAgent.verify_tct_cached", COUNTED),
    Case("tct-cache-perf", "AitpAgent.verify_tct_cached", COUNTED, ("writer",)),
    Case("oidc-identity", "JwksProvider", CALLED),
    Case("oidc-identity", "JwksProvider", CALLED, ("writer",)),
    Case("oidc-identity", "JwksProvider", CALLED, ("writer",), in_a_step("researcher", "writer"), "responder"),
    Case("oidc-identity", "JwksProvider", CALLED, ("writer",), in_a_step("writer", "researcher"), "initiator"),
]
#: Names that a step's agents do not miss.
IN_VAIN = [
    Case("tct-cache-perf", "TctStore", frozenset(), ("researcher",)),
    # Who shows an ID token need not be able to verify one.
    Case("oidc-identity", "JwksProvider", frozenset(), ("researcher",)),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    cases = [*CASES, *IN_VAIN]
    root, refs = write_controls(tmp_path_factory.mktemp("features"), [case.control() for case in cases])
    for name in {case.name for case in cases}:
        for manifest, worker in WORKERS.items():
            env = {"LACKING": name, "LACKING_WORKER": f"{worker}.main"}
            write_variant(root, manifest, f"{manifest}-without-{name.lower()}", "lacking.main", **env)
    return root, refs


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    tmp_path_factory: pytest.TempPathFactory, written: tuple[Path, dict[str, str]]
) -> AsyncIterator[Playground]:
    async with playground_at(tmp_path_factory.mktemp("state"), scenarios_dir=f"{written[0]}:{SHIPPED}") as playground:
        yield playground


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_what_an_agents_sdk_lacks_is_said_and_the_run_goes_on_unproven(
    running: Playground, written: tuple[Path, dict[str, str]], case: Case
) -> None:
    outcome = await run(running, written[1][str(case)])
    assert (outcome.status, outcome.view.proof) == ("success", "unproven"), outcome.view.error
    skipped = {event.get("step_id"): str(event.get("notes")) for event in outcome.of("step.skipped")}
    unproven = {event.get("step_id") for event in outcome.of("step.skipped", unproven=True)}
    in_part = {event.get("step_id") for event in outcome.of("step.complete") if event.payload.get("unproven")}
    assert unproven | in_part == case.unproven
    wanting = [notes for notes in skipped.values() if "feature not available" in notes]
    assert wanting
    assert all(case.name in notes for notes in wanting)
    assert any("feature not available" in why for why in outcome.view.unproven_because)
    assert every_step_ends_once(outcome)


@pytest.mark.parametrize("case", IN_VAIN, ids=str)
async def test_what_nobody_needs_is_not_missed(
    running: Playground, written: tuple[Path, dict[str, str]], case: Case
) -> None:
    outcome = await run(running, written[1][str(case)])
    assert (outcome.status, outcome.view.proof) == ("success", "proven"), outcome.view.error


async def test_every_name_of_every_feature_is_hidden_here() -> None:
    assert {case.name for case in CASES} == {name for names in FEATURES.values() for name in names}
    service = {"spki_pinning", "multihop_delegation"}
    assert {name: sdk.FEATURES[name] for name in sdk.FEATURES.keys() - service} == FEATURES


@pytest.mark.parametrize("name", [name for names in sdk.FEATURES.values() for name in names])
async def test_what_the_services_sdk_lacks_is_among_its_capabilities(
    running: Playground, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    *holders, hidden = name.split(".")
    monkeypatch.delattr(reduce(getattr, holders, aitp), hidden)
    async with aiohttp.ClientSession() as http, http.get(f"{running.url}/capabilities") as answer:
        features: dict[str, Any] = (await answer.json())["features"]
    [feature] = [feature for feature, names in sdk.FEATURES.items() if name in names]
    assert features == {other: other != feature for other in sdk.FEATURES}


@pytest.mark.parametrize("name", sdk.FEATURES["spki_pinning"])
async def test_what_the_services_sdk_lacks_is_said_and_the_run_goes_on_unproven(
    running: Playground, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    *holders, hidden = name.split(".")
    monkeypatch.delattr(reduce(getattr, holders, aitp), hidden)
    outcome = await run(running, "intra-org/spki-pinning@1.0.0")
    assert (outcome.status, outcome.view.proof) == ("success", "unproven"), outcome.view.error
    assert {event.get("step_id") for event in outcome.of("step.skipped")} == {"pin_matches", "pin_mismatch"}
    assert "feature not available" in str(outcome.of("step.skipped")[0].get("notes"))


async def test_hops_are_not_made_of_the_sdks_chains(running: Playground, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a verifier of chains and nothing that makes them: agents redeem hop by hop, and miss nothing."""
    monkeypatch.delattr(aitp, "verify_delegation_multihop")
    outcome = await run(running, "intra-org/delegation-multihop@1.0.0")
    assert (outcome.status, outcome.view.proof) == ("success", "proven"), outcome.view.error
