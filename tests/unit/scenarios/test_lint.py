"""Lint says what is doubtful, where, and says nothing about what is sound."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from aitp_playground.scenarios.lint import lint
from aitp_playground.steps import STEP_TYPES
from tests.support.controls import SHIPPED

from .conftest import GREETER, HELLO, PACK, SCENARIO, Tree

STEP = "spec.workflow.steps.1"
HANDSHAKE = "spec.workflow.steps.0"
DOUBTS = {
    "ref against path": ("scenario: hello", "scenario: hallo", "metadata", "the path says demo/hello@1.0.0"),
    "port twice": ("port_offset: 1", "port_offset: 0", "spec.agents.1.port_offset", "is host's"),
    "agent nobody uses": (
        "port_offset: 1",
        "port_offset: 1\n    - id: idle\n      ref: _shared/agents/greeter\n      port_offset: 2",
        "spec.agents.2.id",
        "no step makes use of idle",
    ),
    "call before any handshake": (
        "initiator: guest\n        responder: host",
        "initiator: host\n        responder: guest",
        f"{STEP}.capability",
        "before any handshake",
    ),
    "handshake that is made to fail": (
        "initiator: guest",
        "fault: { kind: peer_offline }\n        initiator: guest",
        f"{STEP}.capability",
        "before any handshake",
    ),
    "grant that is not offered": (
        "initiator: guest",
        "requested_grants: [demo.wave]\n        initiator: guest",
        f"{HANDSHAKE}.requested_grants.0",
        "host does not offer demo.wave",
    ),
    "pattern that must backtrack": (
        "type: string, default: you",
        'type: string, default: you, pattern: "^(?!me)"',
        "spec.inputs.schema.properties.name.pattern",
        "a process of its own",
    ),
    "nothing expected": (
        "        expect:\n          - path: $.status_code\n            equals: 200\n",
        "",
        "spec.workflow.steps",
        "demonstrates nothing",
    ),
    "mismatch of a status that is not expected": (
        "        capability: demo.greet",
        "        capability: demo.greet\n        on_mismatch: record",
        f"{STEP}.on_mismatch",
        "about an expect_status",
    ),
    "status beside a fault": (
        "        capability: demo.greet",
        "        capability: demo.greet\n        expect_status: 200\n        fault: { kind: peer_offline }",
        f"{STEP}.expect_status",
        "gets no answer",
    ),
    "template beside a whole output": (
        "        input_template:",
        "        input_from: meet\n        input_template:",
        f"{STEP}.input_template",
        "and nothing else",
    ),
    "documents of nobody": (
        "eager: false",
        "eager: false\n    discovery: did_web",
        "spec.trust.discovery",
        "no agent has a did:web",
    ),
    "registry of nobody": (
        "eager: false",
        "eager: false\n    discovery: cp_registry",
        "spec.trust.discovery",
        "org external",
    ),
    "default that does not fit": (
        "default: you",
        "default: 5",
        "spec.inputs.schema.properties.name.default",
        "does not fit",
    ),
}


@pytest.mark.parametrize(("old", "new", "field", "said"), DOUBTS.values(), ids=DOUBTS.keys())
def test_a_doubt_is_a_warning_with_its_place(tree: Tree, old: str, new: str, field: str, said: str) -> None:
    tree.edit(old, new)
    (finding,) = tree.lint()
    assert (finding.level, finding.file, finding.field) == ("warning", HELLO, field)
    assert said in finding.message


CERTIFICATE = yaml.safe_load((SHIPPED / "intra-org/spki-pinning/1.0.0/scenario.yaml").read_text())
PIN = CERTIFICATE["spec"]["workflow"]["steps"][0]
CANNOT_BE_DONE = {
    "handshake with itself": ("{ type: handshake, initiator: host, responder: host }", "responder", "with itself"),
    "delegation to itself": (
        "{ type: delegate, delegator: guest, delegatee: guest, via_peer: host, scope: [demo.greet] }",
        "delegatee",
        "for somebody else",
    ),
    "delegation of its own": (
        "{ type: delegate, delegator: host, delegatee: guest, via_peer: host, scope: [demo.greet] }",
        "via_peer",
        "nothing that it was granted",
    ),
    "scope that is not offered": (
        "{ type: delegate, delegator: guest, delegatee: third, via_peer: host, scope: [demo.greet, demo.wave] }",
        "scope.1",
        "host does not offer demo.wave",
    ),
    "renewal by itself": ("{ type: renew_tct, agent: guest, via_peer: guest }", "via_peer", "issues itself"),
    "renewal beyond its issuer's manifest": (
        "{ type: renew_tct, agent: guest, via_peer: host, new_ttl_secs: 3601 }",
        "new_ttl_secs",
        "that of host lives 3600 s",
    ),
    "revocation of nobody's": ("{ type: revoke_tct, issuer: host, audience: host }", "audience", "issues itself"),
    "probe of itself": (
        "{ type: capability_probe, agent: host, target_agent: host, capability: demo.greet }",
        "target_agent",
        "token of its own",
    ),
    "session with itself": (
        "{ type: export_session_bundle, coordinator: host, participants: [guest, host] }",
        "participants.1",
        "is the coordinator",
    ),
    "session twice": (
        "{ type: export_session_bundle, coordinator: host, participants: [guest, guest] }",
        "participants.1",
        "takes part already",
    ),
    "what is no certificate": (
        f"{{ type: spki_pin_check, cert_der_b64: AAAA, pins: {PIN['pins']} }}",
        "cert_der_b64",
        "is no certificate in DER",
    ),
}


@pytest.mark.parametrize(("step", "field", "said"), CANNOT_BE_DONE.values(), ids=CANNOT_BE_DONE.keys())
def test_a_step_that_cannot_do_what_it_says_is_doubtful(tree: Tree, step: str, field: str, said: str) -> None:
    tree.edit("  trust:\n", "    - { id: third, ref: _shared/agents/greeter, port_offset: 2 }\n  trust:\n")
    tree.edit("eager: false", "eager: true")
    tree.edit(
        "    steps:\n",
        f"    steps:\n      - {{ id: odd, {step[2:]}\n"
        "      - { id: shake, type: handshake, initiator: third, responder: host }\n",
    )
    (finding,) = tree.lint()
    assert (finding.level, finding.field) == ("warning", f"spec.workflow.steps.0.{field}")
    assert said in finding.message


@pytest.mark.parametrize(
    "step",
    [
        "{ type: renew_tct, agent: guest, via_peer: host, new_ttl_secs: 3600 }",
        "{ type: renew_tct, agent: guest, via_peer: host }",
        f"{{ type: spki_pin_check, cert_der_b64: {PIN['cert_der_b64']}, pins: {PIN['pins']} }}",
    ],
)
def test_a_step_that_can_is_not(tree: Tree, step: str) -> None:
    tree.edit("    steps:\n", f"    steps:\n      - {{ id: sound, {step[2:]}\n")
    assert tree.lint() == []


@pytest.mark.parametrize(
    ("before", "eager", "event", "doubts"),
    [
        ("handshake, initiator: guest, responder: host", False, "handshake.failed", 0),
        ("renew_tct, agent: guest, via_peer: host", False, "handshake.failed", 1),
        ("renew_tct, agent: guest, via_peer: host", True, "handshake.failed", 0),
        ("renew_tct, agent: guest, via_peer: host", True, "capability.denied", 1),
    ],
)
def test_what_a_whole_run_does_not_bring_about_is_no_claim_of_it(
    tree: Tree, before: str, eager: bool, event: str, doubts: int
) -> None:
    tree.edit("eager: false", f"eager: {str(eager).lower()}")
    tree.edit(
        "    steps:\n",
        f"    steps:\n      - {{ id: before, type: {before} }}\n"
        f"      - {{ id: so_far, type: meta, expect: [{{ event: {event}, max: 0 }}] }}\n",
    )
    assert [finding.field for finding in tree.lint()] == ["spec.workflow.steps.1.expect.0.event"] * doubts


def test_a_sound_directory_gives_no_findings(tree: Tree) -> None:
    assert tree.lint() == []


def test_eager_trust_makes_up_for_a_missing_handshake(tree: Tree) -> None:
    tree.edit("initiator: guest\n        responder: host", "initiator: host\n        responder: guest")
    tree.edit("eager: false", "eager: true")
    assert tree.lint() == []


def test_a_capability_that_the_target_does_not_offer_is_doubtful(tree: Tree) -> None:
    tree.write(
        "_shared/agents/other.yaml", GREETER.replace("demo.greet", "demo.other").replace("id: greeter", "id: other")
    )
    tree.edit("_shared/agents/greeter\n      port", "_shared/agents/other\n      port")
    tree.edit("capability: demo.greet", "capability: demo.other")
    (finding,) = tree.lint()
    assert "404" in finding.message


def test_a_fault_on_work_that_an_agent_does_by_itself_is_doubtful(tree: Tree) -> None:
    tree.edit("type: capability_probe", "type: workflow\n        fault: { kind: peer_offline }")
    tree.edit("        target_agent: host\n", "")
    (finding,) = tree.lint()
    assert finding.field == f"{STEP}.fault"


REDEEMING = """
      - { id: first, type: delegate, delegator: guest, delegatee: second, via_peer: host, scope: [demo.greet] }
      - { id: redeemed, type: redeem_delegation, delegatee: second, target: host, via_delegation: first }
      - { id: on, type: delegate, delegator: second, delegatee: third, via_peer: host, scope: [demo.greet] }
      - { id: again, type: redeem_delegation, delegatee: third, target: host, via_delegation: on }
      - { id: off, type: delegate, delegator: third, delegatee: guest, via_peer: host, scope: [demo.greet] }
"""


def test_what_was_redeemed_is_delegated_on_only_as_often_as_its_issuer_allows(tree: Tree) -> None:
    tree.edit(
        "  trust:",
        "".join(
            f"    - {{ id: {name}, ref: _shared/agents/greeter, port_offset: {place} }}\n"
            for place, name in enumerate(("second", "third"), 2)
        )
        + "  trust:",
    )
    tree.edit("equals: 200\n", f"equals: 200{REDEEMING}")
    none, one = tree.lint()
    assert (none.field, one.field) == ("spec.workflow.steps.4.via_peer", "spec.workflow.steps.6.via_peer")
    assert "passed on 0 times" in none.message
    tree.edit("display_name: Greeter", "display_name: Greeter\n    redelegation: 1", "_shared/agents/greeter.yaml")
    (left,) = tree.lint()
    assert left.field == "spec.workflow.steps.6.via_peer"
    tree.edit("redelegation: 1", "redelegation: 2", "_shared/agents/greeter.yaml")
    assert tree.lint() == []
    tree.edit("redelegation: 2", "redelegation: 3", "_shared/agents/greeter.yaml")
    assert "less than or equal to 2" in str(tree.lint())


def test_a_handshake_of_its_own_makes_up_for_what_was_redeemed(tree: Tree) -> None:
    tree.edit("  trust:", "    - { id: second, ref: _shared/agents/greeter, port_offset: 2 }\n  trust:")
    steps = "\n".join(REDEEMING.splitlines()[:4]).replace("third", "guest")
    tree.edit("equals: 200\n", f"equals: 200{steps}\n")
    assert len(tree.lint()) == 1
    tree.edit(
        "      - { id: on",
        "      - { id: shake, type: handshake, initiator: second, responder: host }\n      - { id: on",
    )
    assert tree.lint() == []


def test_a_pack_without_a_pack_file_and_a_manifest_under_another_name_are_doubtful(tree: Tree) -> None:
    (tree.root / "demo/pack.yaml").unlink()
    tree.edit("id: greeter", "id: welcomer", "_shared/agents/greeter.yaml")
    assert [finding.file for finding in tree.lint()] == ["_shared/agents/greeter.yaml", "demo/pack.yaml"]


def test_a_pack_called_otherwise_than_its_directory_is_doubtful(tree: Tree) -> None:
    tree.edit("slug: demo", "slug: demos", "demo/pack.yaml")
    (finding,) = tree.lint()
    assert (finding.file, finding.field, finding.level) == ("demo/pack.yaml", "metadata.slug", "warning")
    assert "'demos'" in finding.message
    assert "'demo'" in finding.message


def test_manifests_of_directories_beside_are_found_and_their_own_faults_left_to_them(
    tree: Tree, tmp_path: Path
) -> None:
    mine = Tree(tmp_path / "mine")
    mine.write("demo/pack.yaml", PACK)
    mine.write(HELLO, SCENARIO)
    tree.write("demo/ruin/1.0.0/scenario.yaml", "spec: [")
    assert lint(mine.root, STEP_TYPES, [tree.root]) == []
    assert {finding.field for finding in mine.lint()} == {"spec.agents.0.ref", "spec.agents.1.ref"}


def test_errors_and_doubts_stand_in_one_list(tree: Tree) -> None:
    tree.write("demo/ruin/1.0.0/scenario.yaml", "spec: [")
    tree.edit("port_offset: 1", "port_offset: 0")
    assert [finding.level for finding in tree.lint()] == ["warning", "error"]


def test_a_template_is_linted_as_the_scenario_it_makes(tree: Tree) -> None:
    tree.write(
        "demo/hello/1.0.0/templates/silent.yaml",
        """\
        apiVersion: aitp.dev/v1
        kind: ScenarioTemplate
        metadata: { name: silent }
        spec:
          workflow:
            steps:
              - { id: meet, type: handshake, initiator: guest, responder: host }
        """,
    )
    (finding,) = tree.lint()
    assert (finding.file, finding.line) == ("demo/hello/1.0.0/templates/silent.yaml", 6)
    assert "demonstrates nothing" in finding.message
