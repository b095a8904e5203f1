"""Whatever is wrong with a file is said with file, line and field, and with the name that was probably meant."""

from __future__ import annotations

import pytest

from aitp_playground.errors import AgentManifestNotFound, RegistryInvalid
from aitp_playground.scenarios.findings import Finding

from .conftest import HELLO, Tree

REF = "demo/hello@1.0.0"
STEP = "spec.workflow.steps.1"

#: what is edited, into what, on which line of the new piece the fault stands, its field, what must be said
FAULTS = {
    "revocation that nobody would hear of": (
        "        type: handshake\n        initiator: guest\n        responder: host\n",
        "        type: revoke_tct\n        issuer: guest\n        audience: host\n        local: false\n",
        -1,
        "spec.workflow.steps.0",
        "hears of it with via_cp: true",
    ),
    "misspelt key at the top": ("kind:", "kindd: x\nkind:", 0, "kindd", "did you mean 'kind'"),
    "misspelt section": ("  trust:", "  truts: {}\n  trust:", 0, "spec.truts", "did you mean 'trust'"),
    "misspelt agent key": ("port_offset", "port_ofset", 0, "spec.agents.1.port_ofset", "did you mean 'port_offset'"),
    "misspelt trust key": ("eager", "eagre", 0, "spec.trust.eagre", "did you mean 'eager'"),
    "misspelt step key": ("responder", "respnder", 0, "spec.workflow.steps.0.respnder", "did you mean 'responder'"),
    "misspelt agent of an untyped step": (
        "- id: meet\n",
        "- id: work\n        agnet: host\n        capability: demo.greet\n      - id: meet\n",
        1,
        "spec.workflow.steps.0.agnet",
        "did you mean 'agent'",
    ),
    "untyped step without its capability": (
        "- id: meet\n",
        "- id: work\n        agent: host\n      - id: meet\n",
        0,
        "spec.workflow.steps.0.capability",
        "is missing",
    ),
    "unknown operator": ("equals", "equal", 0, f"{STEP}.expect.0.equal", "did you mean 'equals'"),
    "unknown step type": (
        "type: handshake",
        "type: handshaek",
        0,
        "spec.workflow.steps.0.type",
        "did you mean 'handshake'",
    ),
    "missing key": ("        initiator: guest\n", "", -2, "spec.workflow.steps.0.initiator", "is missing"),
    "number for a version": ("version: 1.0.0", "version: 1.0", 0, "metadata.version", "in quotes"),
    "wrong choice": ("eager: false", "discovery: dns", 0, "spec.trust.discovery", "'static'"),
    "step that is no mapping": (
        "id: meet\n        type: handshake\n        initiator: guest\n        responder: host",
        "meet",
        0,
        "spec.workflow.steps.0",
        "mapping",
    ),
    "unknown agent": (
        "responder: host",
        "responder: hots",
        0,
        "spec.workflow.steps.0.responder",
        "did you mean 'host'",
    ),
    "duplicate step id": ("id: greet\n", "id: meet\n", 0, f"{STEP}.id", "number 1"),
    "duplicate agent id": (
        "port_offset: 1",
        "port_offset: 1\n    - id: host\n      ref: _shared/agents/greeter",
        1,
        "spec.agents.2.id",
        "number 1",
    ),
    "unknown capability": (
        "capability: demo.greet",
        "capability: demo.great",
        0,
        f"{STEP}.capability",
        "did you mean 'demo.greet'",
    ),
    "undeclared input": ("inputs.name", "inputs.nam", 0, f"{STEP}.input_template.name", "did you mean 'name'"),
    "placeholder of another sort": ("inputs.name", "env.HOME", 0, f"{STEP}.input_template.name", "no placeholder"),
    "deep placeholder": ("inputs.name", "inputs.name.first", 0, f"{STEP}.input_template.name", "no placeholder"),
    "placeholder without its end": (
        '"{{ inputs.name }}"',
        '"{{ inputs.name }"',
        0,
        f"{STEP}.input_template.name",
        "'{{ inputs.name }' begins a placeholder and does not end it",
    ),
    "placeholder with one brace": (
        '"{{ inputs.name }}"',
        '"dear { inputs.name }"',
        0,
        f"{STEP}.input_template.name",
        "two braces",
    ),
    "expectation without its end": (
        "equals: 200",
        'not: "{{ outputs.greet.status_code"',
        0,
        f"{STEP}.expect.0.not",
        "'{{ outputs.greet.status_code' begins a placeholder",
    ),
    "input from a later step": (
        'input_template:\n          name: "{{ inputs.name }}"',
        "input_from: greet",
        0,
        f"{STEP}.input_from",
        "no earlier step 'greet'",
    ),
    "requires an unknown step": (
        "        expect:",
        "        requires: [meat]\n        expect:",
        0,
        f"{STEP}.requires.0",
        "did you mean 'meet'",
    ),
    "expectation of a later step": (
        "equals: 200",
        'equals: "{{ outputs.later.x }}"',
        0,
        f"{STEP}.expect.0.equals",
        "no earlier step 'later'",
    ),
    "expectation of an input": (
        "equals: 200",
        'equals: "{{ inputs.name }}"',
        0,
        f"{STEP}.expect.0.equals",
        "of the inputs, and what is expected takes {{ outputs.step.path }}",
    ),
    "input of an output": (
        "inputs.name",
        "outputs.meet.trust",
        0,
        f"{STEP}.input_template.name",
        "of a step's output, and an input_template takes {{ inputs.key }}",
    ),
    "text for a list": (
        "responder: host",
        "responder: host\n        requested_grants: demo.greet",
        1,
        "spec.workflow.steps.0.requested_grants",
        "must be a list",
    ),
    "word for a number": ("port_offset: 1", "port_offset: one", 0, "spec.agents.1.port_offset", "a whole number"),
    "word for a switch": ("eager: false", "eager: lazily", 0, "spec.trust.eager", "must be true or false"),
    "text for a section": ("trust:\n    eager: false", "trust: eager", 0, "spec.trust", "must be a mapping"),
    "path and event": ("equals: 200", "event: trust.failed", -1, f"{STEP}.expect.0", "either a path or an event"),
    "neither path nor event": (
        "path: $.status_code\n            ",
        "",
        0,
        f"{STEP}.expect.0",
        "either a path or an event",
    ),
    "bounds of a path that exclude each other": (
        "equals: 200",
        "min: 3\n            max: 1",
        -1,
        f"{STEP}.expect.0",
        "no number is at least 3 and at most 1",
    ),
    "identity type that there is none of, alone in its list": (
        "  agents:\n",
        "  aitp: { accepted_identity_types: [spiffe] }\n  agents:\n",
        0,
        "spec.aitp.accepted_identity_types.0",
        "pinned_key",
    ),
    "pin of another size, alone in its list": (
        "    steps:\n",
        "    steps:\n      - { id: pin, type: spki_pin_check, cert_der_b64: AAAA, pins: [AAAA] }\n",
        1,
        "spec.workflow.steps.0.pins.0",
        "is no pin",
    ),
    "list that is empty": (
        "    steps:\n",
        "    steps:\n      - { id: pin, type: spki_pin_check, cert_der_b64: AAAA, pins: [] }\n",
        1,
        "spec.workflow.steps.0.pins",
        "at least 1 item",
    ),
    "path without operator": ("\n            equals: 200", "", 0, f"{STEP}.expect.0", "needs an operator"),
    "operator that an event lacks": ("path: $.status_code", "event: trust.failed", 0, f"{STEP}.expect.0", "not equals"),
    "event that does not exist": (
        "path: $.status_code\n            equals: 200",
        "event: trust.establishd",
        0,
        f"{STEP}.expect.0.event",
        "did you mean 'trust.established'",
    ),
    "placeholder without quotes": (
        'name: "{{ inputs.name }}"',
        "name: {{ inputs.name }}",
        0,
        f"{STEP}.input_template.name",
        "stands in quotes",
    ),
    "misspelt field of an event": (
        "path: $.status_code\n            equals: 200",
        "event: capability.denied\n            where: { capabilty: demo.greet }\n            max: 0",
        1,
        f"{STEP}.expect.0.where.capabilty",
        "did you mean 'capability'",
    ),
    "event of a step that is not there": (
        "path: $.status_code\n            equals: 200",
        "event: capability.denied\n            where: { step_id: mete }\n            max: 0",
        1,
        f"{STEP}.expect.0.where.step_id",
        "did you mean 'meet'",
    ),
    "event of an agent that is not there": (
        "path: $.status_code\n            equals: 200",
        "event: trust.failed\n            where: { initiator: hosst }\n            max: 0",
        1,
        f"{STEP}.expect.0.where.initiator",
        "did you mean 'host'",
    ),
    "operator that a path lacks": (
        "equals: 200",
        "greater_or_so: 200",
        0,
        f"{STEP}.expect.0.greater_or_so",
        "unknown key 'greater_or_so'; known: contains, equals, exists, matches, max, min, not, path",
    ),
    "operator of a path that looks like a key of an event": (
        "equals: 200",
        "wheree: 200",
        0,
        f"{STEP}.expect.0.wheree",
        "known: contains, equals, exists, matches, max, min, not, path",
    ),
    "key that an event lacks": (
        "path: $.status_code\n            equals: 200",
        "event: trust.failed\n            quantity: 1",
        1,
        f"{STEP}.expect.0.quantity",
        "known: event, max, min, where, within_ms",
    ),
    "caller that is not there": (
        "path: $.status_code\n            equals: 200",
        "event: capability.invoked\n            where: { caller: gest }\n            max: 0",
        1,
        f"{STEP}.expect.0.where.caller",
        "no agent is called 'gest'; did you mean 'guest'",
    ),
    "delegatee in a payload that is not there": (
        "path: $.status_code\n            equals: 200",
        "event: delegation.redeemed\n            where: { payload.delegatee: gest }\n            max: 0",
        1,
        f"{STEP}.expect.0.where.payload.delegatee",
        "did you mean 'guest'",
    ),
    "peer that is not there": (
        "path: $.status_code\n            equals: 200",
        "event: trust.peers_resolved\n            where: { peers.hosst.source: static }\n            max: 0",
        1,
        f"{STEP}.expect.0.where.peers.hosst.source",
        "did you mean 'host'",
    ),
    "status in quotes": (
        "target_agent: host",
        'target_agent: host\n        expect_status: "403"',
        1,
        f"{STEP}.expect_status",
        "a whole number, without quotes",
    ),
    "status that is a truth value": (
        "target_agent: host",
        "target_agent: host\n        expect_status: true",
        1,
        f"{STEP}.expect_status",
        "a whole number",
    ),
    "status that there is none of": (
        "target_agent: host",
        "target_agent: host\n        expect_status: 4003",
        1,
        f"{STEP}.expect_status",
        "less than or equal to 599",
    ),
    "a value compared with itself": (
        "equals: 200",
        "equals: '{{ outputs.greet.status_code }}'",
        0,
        f"{STEP}.expect.0.equals",
        "itself",
    ),
    "malformed path": ("$.status_code", "status_code", 0, f"{STEP}.expect.0.path", "did you mean '$.status_code'?"),
    "broken regular expression": ("equals: 200", "matches: '['", 0, f"{STEP}.expect.0.matches", "regular expression"),
    "fault on a step that calls nobody": (
        "type: handshake\n        initiator: guest\n        responder: host",
        "fault: { kind: peer_offline }",
        0,
        "spec.workflow.steps.0.fault",
        "takes no fault",
    ),
    "unknown fault": (
        "initiator:",
        "fault: { kind: flood }\n        initiator:",
        0,
        "spec.workflow.steps.0.fault.kind",
        "'manifest_404'",
    ),
    "schema that is none": (
        "type: string",
        "type: strng",
        0,
        "spec.inputs.schema.properties.name.type",
        "not a JSON Schema",
    ),
    "schema elsewhere": (
        "type: string",
        "$ref: https://example.org/s.json",
        0,
        "spec.inputs.schema.properties.name.$ref",
        "reference",
    ),
    "schema reference to nowhere": (
        "type: string",
        "$ref: '#/$defs/x'",
        0,
        "spec.inputs.schema.properties.name.$ref",
        "nowhere",
    ),
    "manifest by its name alone": (
        "_shared/agents/greeter\n      port",
        "Greeter.yaml\n      port",
        0,
        "spec.agents.1.ref",
        "write _shared/agents/<name>; did you mean '_shared/agents/greeter'?",
    ),
    "manifest outside": (
        "_shared/agents/greeter\n      port",
        "_shared/agents/../../x\n      port",
        0,
        "spec.agents.1.ref",
        "names no manifest",
    ),
    "manifest by file": (
        "_shared/agents/greeter\n      port",
        "/etc/passwd\n      port",
        0,
        "spec.agents.1.ref",
        "names no manifest",
    ),
}


async def errors_of(tree: Tree) -> list[Finding]:
    _, errors = await tree.catalog().scenarios()
    return errors


@pytest.mark.parametrize(("old", "new", "offset", "field", "said"), FAULTS.values(), ids=FAULTS.keys())
async def test_a_fault_is_told_with_its_place(
    tree: Tree, old: str, new: str, offset: int, field: str, said: str
) -> None:
    line = tree.edit(old, new) + offset
    (error,) = await errors_of(tree)
    assert (error.file, error.line, error.field) == (HELLO, line, field)
    assert said in error.message
    with pytest.raises(RegistryInvalid) as caught:
        await tree.catalog().resolve(REF)
    assert caught.value.details == [{"file": HELLO, "line": line, "field": field, "message": error.message}]


@pytest.mark.parametrize("rest", ["status", "peer.name", "..x"])
async def test_a_step_with_a_dot_in_its_id_is_not_taken_for_a_field_of_another(tree: Tree, rest: str) -> None:
    meet = "      - id: meet\n"
    tree.edit(meet, "      - id: gate\n      - id: gate.one\n        requires: [gate]\n" + meet)
    assert await errors_of(tree) == []
    tree.edit("equals: 200", f'equals: "{{{{ outputs.gate.one.{rest} }}}}"')
    (error,) = await errors_of(tree)
    assert "the dot in step 'gate.one' as a field; call the step 'gate_one'" in error.message


async def test_sixteen_agents_and_two_hundred_steps_are_the_most(tree: Tree) -> None:
    first = "    - id: host\n"
    tree.edit(first, "".join(f"    - {{ id: a{n}, ref: _shared/agents/greeter }}\n" for n in range(14)) + first)
    meet = "      - id: meet\n"
    tree.edit(meet, "".join(f"      - id: note{n}\n" for n in range(198)) + meet)
    assert await errors_of(tree) == []

    tree.edit(first, "    - { id: a14, ref: _shared/agents/greeter }\n" + first)
    tree.edit(meet, "      - id: note198\n" + meet)
    messages = {error.field: error.message for error in await errors_of(tree)}
    assert messages == {
        "spec.agents": "a scenario has at most 16 agents, this one 17",
        "spec.workflow.steps": "a scenario has at most 200 steps, this one 201",
    }


async def test_all_faults_of_a_file_are_told_at_once(tree: Tree) -> None:
    tree.edit("eager", "eagre")
    tree.edit("responder", "respnder")
    tree.edit("equals", "equal")
    fields = {error.field for error in await errors_of(tree)}
    assert {"spec.trust.eagre", "spec.workflow.steps.0.respnder", "spec.workflow.steps.1.expect.0.equal"} <= fields


async def test_a_fault_in_an_included_file_is_told_there(tree: Tree) -> None:
    tree.edit("    eager: false\n", "    !include trust.yaml\n")
    tree.write("demo/hello/1.0.0/trust.yaml", "# posture\neagre: false\n")
    (error,) = await errors_of(tree)
    assert (error.file, error.line) == ("demo/hello/1.0.0/trust.yaml", 2)


async def test_a_missing_manifest_has_an_error_of_its_own(tree: Tree) -> None:
    line = tree.edit("_shared/agents/greeter\n      port", "_shared/agents/nobody\n      port")
    with pytest.raises(AgentManifestNotFound) as caught:
        await tree.catalog().resolve(REF)
    assert caught.value.details[0]["line"] == line


@pytest.mark.parametrize(
    ("ref", "said"), [("greter", "did you mean '_shared/agents/greeter'?"), ("nobody", "; there are greeter")]
)
async def test_a_missing_manifest_is_told_with_the_nearest_or_those_there_are(tree: Tree, ref: str, said: str) -> None:
    tree.edit("_shared/agents/greeter\n      port", f"_shared/agents/{ref}\n      port")
    with pytest.raises(AgentManifestNotFound) as caught:
        await tree.catalog().resolve(REF)
    assert caught.value.message.endswith(said)


async def test_a_broken_manifest_is_listed_and_named_by_those_who_need_it(tree: Tree) -> None:
    tree.edit("offered_caps", "ofered_caps", "_shared/agents/greeter.yaml")
    errors = await errors_of(tree)
    assert any(e.file == "_shared/agents/greeter.yaml" and "'offered_caps'" in e.message for e in errors)
    with pytest.raises(RegistryInvalid, match=r"greeter\.yaml:7"):
        await tree.catalog().resolve(REF)


async def test_an_oidc_agent_needs_an_issuer_and_a_subject(tree: Tree) -> None:
    tree.edit("offered_caps", "identity_type: oidc\n    offered_caps", "_shared/agents/greeter.yaml")
    errors = await errors_of(tree)
    assert any(error.field == "spec.aitp" and "oidc_issuer" in error.message for error in errors)


async def test_one_broken_file_hides_nothing_else(tree: Tree) -> None:
    tree.write("demo/ruin/1.0.0/scenario.yaml", "spec: [")
    tree.write("ruin/pack.yaml", "kind: Nonsense")
    scenarios, errors = await tree.catalog().scenarios()
    assert [scenario.ref for scenario in scenarios] == [REF]
    assert {error.file for error in errors} == {"demo/ruin/1.0.0/scenario.yaml", "ruin/pack.yaml"}


async def test_an_unreadable_scenario_is_invalid_under_the_ref_of_its_path(tree: Tree) -> None:
    tree.write("demo/ruin/1.0.0/scenario.yaml", "spec: [")
    with pytest.raises(RegistryInvalid):
        await tree.catalog().resolve("demo/ruin@1.0.0")


async def test_extension_keys_are_passed_over_everywhere_but_in_data(tree: Tree) -> None:
    tree.edit("  trust:\n", "  x-note: 1\n  trust:\n    x-why: [2]\n")
    tree.edit("        initiator:", "        x-step: {a: 1}\n        initiator:")
    tree.edit("          name: \"{{", "          x-data: kept\n          name: \"{{")  # fmt: skip
    tree.edit("kind: ScenarioVersion", "kind: ScenarioVersion\nx-owner: us")
    resolved = await tree.catalog().resolve(REF)
    assert resolved.scenario.spec.workflow.steps[1].model_dump()["input_template"]["x-data"] == "kept"
