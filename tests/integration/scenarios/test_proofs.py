"""Each shipped scenario proves its claim, and fails at the step that makes it when the mechanism is switched off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from aitp_playground.service import Playground
from tests.support.controls import (
    SHIPPED,
    Control,
    Document,
    every_step_ends_once,
    remarked,
    step,
    widened,
    with_agent,
    without,
    write_controls,
)
from tests.support.playground import playground_at, run


def static(document: Document) -> None:
    document["spec"]["trust"]["discovery"] = "static"


def not_eager(document: Document) -> None:
    document["spec"]["trust"]["eager"] = False


CONTROLS = [
    Control(
        "the findings do not reach the writer",
        "intra-org/research-and-write@1.0.0",
        "write",
        without("write", "input_from"),
    ),
    Control(
        "the findings do not reach the writer, version 1.1.0",
        "intra-org/research-and-write@1.1.0",
        "write",
        without("write", "input_from"),
    ),
    Control(
        "the writer does not verify tokens",
        "intra-org/trust-gate@1.0.0",
        "probe_no_tct",
        with_agent("writer", "open-writer"),
    ),
    Control(
        "the writer refuses the handshake as something that its SDK lacks",
        "intra-org/trust-gate@1.0.0",
        "establish_trust",
        with_agent("writer", "pleading-writer"),
    ),
    Control(
        "the writer of the strict template does not verify tokens",
        "intra-org/research-and-write@1.0.0",
        "probe_no_tct",
        with_agent("writer", "open-writer"),
        template="trust-strict",
    ),
    Control(
        "the handshake asks for everything that is offered",
        "intra-org/scoped-capabilities@1.0.0",
        "probe_out_of_scope",
        without("scoped_handshake", "requested_grants"),
    ),
    Control(
        "the manifest is where it should be",
        "intra-org/fault-injection@1.0.0",
        "handshake_manifest_404",
        without("handshake_manifest_404", "fault"),
    ),
    Control("nothing is revoked", "intra-org/revocation-demo@1.0.0", "blocked_call", remarked("revoke")),
    Control(
        "nothing is revoked after the work",
        "intra-org/research-and-write@1.0.0",
        "probe_after_revoke",
        remarked("revoke"),
        template="revoking",
    ),
    Control("the delegation is not redeemed", "intra-org/delegation-chain@1.0.0", "sub_write", remarked("redeem")),
    Control(
        "the delegation asks for more than was granted",
        "intra-org/delegation-chain@1.0.0",
        "delegate",
        widened("delegate", "research.query"),
    ),
    Control("nobody shook hands", "cross-org/federated-analysis@1.0.0", "analyze_remotely", not_eager),
    Control(
        "the reviewer hears nothing of the draft",
        "cross-cloud/distributed-review@1.0.0",
        "review",
        without("review", "input_from"),
    ),
    Control(
        "the peer is online",
        "intra-org/fault-injection@1.0.0",
        "call_peer_offline",
        without("call_peer_offline", "fault"),
    ),
]


def _nowhere(document: Document) -> None:
    reviewer = next(agent for agent in document["spec"]["agents"] if agent["id"] == "reviewer")
    reviewer["did_web_host"] = "nowhere.invalid"


CONTROLS += [
    Control("the document is gone", "cross-cloud/distributed-review@1.0.0", "discover", _nowhere),
    Control("peers are where they were launched", "cross-cloud/distributed-review@1.0.0", "discover", static),
    Control("the registry is not asked", "cross-org/federated-analysis@1.0.0", "discover", static),
    Control("the writer holds no token", "intra-org/research-and-write@1.0.0", "ask_back", not_eager),
]


def _swapped_pins(document: Document) -> None:
    first, second = (one for one in document["spec"]["workflow"]["steps"])
    first["pins"], second["pins"] = second["pins"], first["pins"]


def pinned_keys_alone(document: Document) -> None:
    document["spec"]["aitp"] = {"accepted_identity_types": ["pinned_key"]}


def shaking_hands_in_a_step(edit: Callable[[Document], None]) -> Callable[[Document], None]:
    """What fails before the first step fails in none."""

    def edited(document: Document) -> None:
        not_eager(document)
        trust = step(document, "trust")
        trust.clear()
        trust |= {"id": "trust", "type": "handshake", "initiator": "researcher", "responder": "writer"}
        edit(document)

    return edited


def _not_renewed(document: Document) -> None:
    remarked("renew")(document)
    without("write_under_renewed", "requires")(document)


def _shorter(document: Document) -> None:
    step(document, "renew")["new_ttl_secs"] = 3600


CONTROLS += [
    Control("the writer keeps its key", "intra-org/key-rotation@1.0.0", "stale_write", remarked("writer_rotates")),
    Control(
        "the writer honours its old key",
        "intra-org/key-rotation@1.0.0",
        "stale_write",
        with_agent("writer", "sticky-writer"),
    ),
    Control("the renewed token lives no longer", "intra-org/tct-renewal@1.0.0", "renew", _shorter),
    Control("nothing is renewed", "intra-org/tct-renewal@1.0.0", "write_under_renewed", _not_renewed),
    Control(
        "the writer forgets what it renewed",
        "intra-org/tct-renewal@1.0.0",
        "revoke",
        with_agent("writer", "unlinked-writer"),
    ),
    Control(
        "every token is verified anew",
        "intra-org/tct-cache-perf@1.0.0",
        "cache-stats",
        with_agent("writer", "forgetful-writer"),
    ),
    Control("what is cached is not revoked", "intra-org/tct-cache-perf@1.0.0", "blocked_call", remarked("revoke")),
    Control("nobody leaves the session", "intra-org/session-bundle@1.0.0", "verify_after_revoke", remarked("revoke")),
    Control(
        "the verifier asks no list",
        "intra-org/session-bundle@1.0.0",
        "verify_after_revoke",
        with_agent("writer", "listblind-writer"),
    ),
    Control(
        "the bundle is another one",
        "intra-org/session-bundle@1.0.0",
        "verify",
        with_agent("researcher", "tampering-researcher"),
    ),
    Control("the pins are swapped", "intra-org/spki-pinning@1.0.0", "pin_matches", _swapped_pins),
    Control(
        "the token at the root stays good",
        "intra-org/delegation-multihop@1.0.0",
        "analyst_blocked",
        remarked("revoke_root"),
    ),
    Control(
        "the writer forgets what came out of what",
        "intra-org/delegation-multihop@1.0.0",
        "revoke_root",
        with_agent("writer", "unlinked-writer"),
    ),
    Control(
        "the writer has another key for the issuer",
        "intra-org/oidc-identity@1.0.0",
        "trust",
        shaking_hands_in_a_step(with_agent("writer", "misled-writer")),
    ),
    Control(
        "the writer has another key for the issuer of a P-256 agent",
        "intra-org/oidc-identity@1.0.0",
        "trust",
        shaking_hands_in_a_step(with_agent("writer", "misled-writer")),
        template="p256-suite",
    ),
    Control(
        "nobody takes an issuer's word",
        "intra-org/oidc-identity@1.0.0",
        "trust",
        shaking_hands_in_a_step(pinned_keys_alone),
    ),
    Control(
        "the researcher is known by its key",
        "intra-org/oidc-identity@1.0.0",
        "trust",
        with_agent("researcher", "researcher"),
    ),
    Control(
        "the researcher with a key of P-256 is known by it",
        "intra-org/oidc-identity@1.0.0",
        "trust",
        with_agent("researcher", "researcher"),
        template="p256-suite",
    ),
    Control(
        "the first hop is not redeemed",
        "intra-org/delegation-multihop@1.0.0",
        "delegate_to_analyst",
        remarked("redeem_sub"),
    ),
]


@pytest.fixture(scope="module")
def controls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    return write_controls(tmp_path_factory.mktemp("controls"), CONTROLS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    tmp_path_factory: pytest.TempPathFactory, controls: tuple[Path, dict[str, str]]
) -> AsyncIterator[Playground]:
    roots = f"{controls[0]}:{SHIPPED}"
    async with playground_at(tmp_path_factory.mktemp("state"), scenarios_dir=roots) as playground:
        yield playground


pytestmark = pytest.mark.asyncio(loop_scope="module")

PROOFS: list[tuple[str, str | None]] = [
    ("intra-org/research-and-write@1.0.0", None),
    ("intra-org/research-and-write@1.0.0", "trust-strict"),
    ("intra-org/research-and-write@1.1.0", None),
    ("intra-org/trust-gate@1.0.0", None),
    ("intra-org/scoped-capabilities@1.0.0", None),
    ("intra-org/fault-injection@1.0.0", None),
    ("intra-org/revocation-demo@1.0.0", None),
    ("intra-org/research-and-write@1.0.0", "revoking"),
    ("intra-org/delegation-chain@1.0.0", None),
    ("cross-cloud/distributed-review@1.0.0", None),
    ("intra-org/key-rotation@1.0.0", None),
    ("intra-org/tct-renewal@1.0.0", None),
    ("intra-org/tct-cache-perf@1.0.0", None),
    ("intra-org/session-bundle@1.0.0", None),
    ("intra-org/spki-pinning@1.0.0", None),
    ("intra-org/delegation-multihop@1.0.0", None),
    ("intra-org/oidc-identity@1.0.0", None),
    ("intra-org/oidc-identity@1.0.0", "p256-suite"),
]
#: What is claimed of a Control Plane is proven against one, in a file of its own.
WITH_CP = {
    "cross-org/federated-analysis@1.0.0",
    "intra-org/revocation-via-cp@1.0.0",
    "intra-org/revocation-via-cp@1.1.0",
    "intra-org/cp-delegation-tree@1.0.0",
    "intra-org/external-enrollment@1.0.0",
    "intra-org/webhook-subscription@1.0.0",
    "intra-org/cp-trust-anchor-provisioning@1.0.0",
}


@pytest.mark.parametrize(("ref", "template"), PROOFS)
async def test_a_shipped_scenario_proves_its_claim(running: Playground, ref: str, template: str | None) -> None:
    outcome = await run(running, ref, template=template)
    assert (outcome.status, outcome.view.proof) == ("success", "proven"), outcome.view.error
    assert every_step_ends_once(outcome)


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name.replace(" ", "-"))
async def test_without_its_mechanism_the_demonstration_fails_at_its_claim(
    running: Playground, controls: tuple[Path, dict[str, str]], control: Control
) -> None:
    outcome = await run(running, controls[1][control.name])
    assert outcome.status == "failed"
    assert outcome.failed_step == control.at, outcome.view.error
    assert every_step_ends_once(outcome)


async def test_the_template_is_about_a_key_of_p256(running: Playground) -> None:
    outcome = await run(running, "intra-org/oidc-identity@1.0.0", template="p256-suite")
    aids = {event.get("agent_id"): str(event.get("aid")) for event in outcome.of("agent.ready")}
    assert aids["researcher"].startswith("aid:pubkey:p256:")
    assert not aids["writer"].startswith("aid:pubkey:p256:")
    [answered] = outcome.of("handshake.answered")
    assert (answered.get("aid_a"), answered.payload["identity_type"]) == (aids["researcher"], "oidc")


async def test_the_issuers_key_and_what_it_gave_leave_no_trace(running: Playground) -> None:
    outcome = await run(running, "intra-org/oidc-identity@1.0.0")
    [minted] = outcome.of("oidc.issuer_minted")
    assert minted.payload == {"issuer": "https://idp.aitp-playground.local/"}
    assert outcome.types.index("oidc.issuer_minted") < outcome.types.index("agent.spawning")
    assert len(running.services.id_tokens) == 0
    told = repr([event.fields for event in outcome.events])
    assert "id_token" not in told
    assert "eyJ" not in told, "no compact JWS begins otherwise"


@pytest.mark.parametrize("ref", sorted(WITH_CP))
async def test_without_a_control_plane_a_scenario_that_needs_one_succeeds_and_says_so(
    running: Playground, ref: str
) -> None:
    outcome = await run(running, ref)
    assert (outcome.status, outcome.view.proof) == ("success", "unproven"), outcome.view.error
    assert every_step_ends_once(outcome)


async def test_steps_without_a_control_plane_leave_the_stated_outputs(running: Playground) -> None:
    stated = {
        "external-enrollment": ("self_enroll", {"enrolled": False, "skipped": "no cp"}),
        "webhook-subscription": ("subscribe", {"subscribed": False, "skipped": "no cp"}),
        "cp-trust-anchor-provisioning": ("provision", {"provisioned": False, "skipped": "no cp"}),
        "cp-delegation-tree": ("delegation_tree", {"delegations": [], "skipped": "no cp"}),
    }
    for scenario, (step_id, output) in stated.items():
        outcome = await run(running, f"intra-org/{scenario}@1.0.0")
        assert outcome.outputs[step_id] == output
    told = (await run(running, "intra-org/revocation-via-cp@1.0.0")).outputs["revoke"]
    assert (told["published_to_cp"], told["audience_revoked_count"], told["skipped"]) == (False, 0, "no cp")
    untold = await run(running, "intra-org/revocation-via-cp@1.1.0")
    assert untold.outputs["revoke"] == {"published_to_cp": False, "skipped": "no cp"}
    assert len(untold.of("step.skipped")) == 2


async def test_peers_in_other_clouds_are_found_by_their_documents(running: Playground) -> None:
    outcome = await run(running, "cross-cloud/distributed-review@1.0.0")
    (resolved,) = outcome.of("trust.peers_resolved")
    ports = {event.get("agent_id"): event.get("port") for event in outcome.of("agent.ready")}
    for agent_id in ("reviewer", "approver"):
        found = resolved.get("peers")[agent_id]
        assert found["source"] == "did_web"
        assert found["did"] == f"did:web:localhost%3A{ports[agent_id]}"
        assert found["manifest_url"] == f"http://localhost:{ports[agent_id]}/.well-known/aitp-manifest"


async def test_without_its_document_a_peer_is_where_it_was_launched_and_the_claim_of_discovery_fails(
    running: Playground, controls: tuple[Path, dict[str, str]]
) -> None:
    outcome = await run(running, controls[1]["the document is gone"])
    (resolved,) = outcome.of("trust.peers_resolved")
    gone, still = resolved.get("peers")["reviewer"], resolved.get("peers")["approver"]
    assert (gone["source"], gone["reason"]) == ("static_fallback", "did_unresolvable")
    assert still["source"] == "did_web"
    assert outcome.failed_step == "discover"


async def test_without_a_registry_an_external_peer_is_the_local_one_and_the_event_says_so(running: Playground) -> None:
    outcome = await run(running, "cross-org/federated-analysis@1.0.0")
    (resolved,) = outcome.of("trust.peers_resolved")
    analyzer = resolved.get("peers")["analyzer"]
    assert (analyzer["source"], analyzer["reason"]) == ("static_fallback", "cp_disabled")
    assert resolved.get("peers")["researcher"]["source"] == "static"


async def test_the_open_writer_really_answers_a_stranger(
    running: Playground, controls: tuple[Path, dict[str, str]]
) -> None:
    """The control of the trust gate fails because the stranger was served, not because something broke."""
    outcome = await run(running, controls[1]["the writer does not verify tokens"])
    assert outcome.outputs["probe_no_tct"]["status_code"] == 200
    assert outcome.outputs["probe_no_tct"]["body"]["body"]


async def test_the_scoped_token_holds_exactly_what_was_asked_for(running: Playground) -> None:
    outcome = await run(running, "intra-org/scoped-capabilities@1.0.0")
    (established,) = outcome.of("trust.established")
    assert established.get("grants") == ["research.query"]
    (complete,) = outcome.of("handshake.complete")
    issued = [claims for claims in complete.payload["tcts"] if claims["jti"] == established.get("jti")]
    assert [claims["grants"] for claims in issued] == [["research.query"]]
    assert outcome.outputs["probe_out_of_scope"]["presented_jti"] == established.get("jti")


async def test_faults_meet_their_real_transport_errors_exactly_twice(running: Playground) -> None:
    outcome = await run(running, "intra-org/fault-injection@1.0.0")
    assert len(outcome.of("step.fault_injected")) == len(outcome.of("step.fault_complete")) == 2
    missing, offline = outcome.of("step.fault_complete")
    assert "404" in missing.get("error")
    assert "404" not in offline.get("error")
    for faulted in ("handshake_manifest_404", "call_peer_offline"):
        kinds = [event.type for event in outcome.events if event.get("step_id") == faulted]
        marks = [kind for kind in kinds if kind.startswith("step.") and "probing" not in kind]
        assert marks == ["step.started", "step.fault_injected", "step.fault_complete", "step.complete"]
        assert kinds[1] == "step.fault_injected", "the fault is told before what it makes fail"


async def test_every_event_of_a_step_names_the_step_its_agent_and_its_capability(running: Playground) -> None:
    for ref in ("intra-org/fault-injection@1.0.0", "intra-org/scoped-capabilities@1.0.0"):
        outcome = await run(running, ref)
        for started in (event for event in outcome.of("step.started") if event.get("agent")):
            labels = [
                (event.get("agent"), event.get("capability"))
                for event in outcome.events
                if event.get("step_id") == started.get("step_id")
            ]
            assert set(labels) == {(started.get("agent"), started.get("capability"))}


async def test_versions_of_a_scenario_are_different_scenarios(running: Playground) -> None:
    first = await run(running, "intra-org/research-and-write@1.0.0")
    second = await run(running, "intra-org/research-and-write@1.1.0")
    assert "analyse" not in first.outputs
    assert second.outputs["analyse"]["risks"] is not None


async def test_a_loose_file_among_the_templates_is_passed_over_with_a_warning(running: Playground) -> None:
    loaded = await running.catalog.scenario("intra-org/research-and-write@1.0.0")
    assert "default" not in {template["name"] for template in loaded.describe_templates()}
    warnings = await running.catalog.warnings()
    assert any(warning.file.endswith("templates/default.yaml") for warning in warnings)
