"""Every field that a file may have is shown to do something: by which test, for each of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from aitp_playground.scenarios.models import AgentManifest, Scenario, ScenarioPack, ScenarioTemplate, StepSpec
from aitp_playground.steps import STEP_TYPES

TESTS = Path(__file__).resolve().parents[2]
HERE = "unit/scenarios"
CATALOG, LOADED, LINT = f"{HERE}/test_catalog.py::", f"{HERE}/test_loaded.py::", f"{HERE}/test_lint.py::"
FAILURES = "integration/runs/test_failures.py::"
VERSIONED = f"{HERE}/test_fields.py::test_a_version_or_a_kind_that_is_none_is_refused"
FIELDS = "integration/scenarios/test_fields.py::"
EXPECT = "unit/steps/test_expect.py::test_an_expectation_holds_exactly_when_it_should"
MERGED = f"{HERE}/test_templates.py::test_agents_and_workflow_are_the_templates_or_the_scenarios_never_a_mixture"
PATCHED = f"{HERE}/test_templates.py::test_trust_is_patched_by_exactly_the_fields_that_the_template_writes"
BROKEN = f"{HERE}/test_broken_files.py::test_a_fault_is_told_with_its_place"
SHOWN = f"{LOADED}test_names_remarks_and_tags_are_shown_as_they_were_written"
REF = f"{LINT}test_a_doubt_is_a_warning_with_its_place"
PEERS = f"{FIELDS}test_peers_are_where_they_were_launched_unless_they_are_looked_for"
KEY = f"{FIELDS}test_the_key_is_of_the_organisation_and_of_the_suite"
LABELS = f"{FIELDS}test_labels_are_told_to_whoever_watches"
FACE = f"{FIELDS}test_the_face_of_an_agent_is_what_its_manifest_says"
STARTED = f"{FIELDS}test_a_process_is_started_as_its_manifest_says"
DID = f"{FIELDS}test_a_did_document_is_served_where_one_is_asked_for"
CALL = f"{FIELDS}test_a_call_is_from_and_to_the_named_with_the_named_input"
STATUS = f"{FIELDS}test_another_status_than_expected_fails_the_run_unless_it_is_only_recorded"
SHAKE = f"{FIELDS}test_a_handshake_is_between_the_named_for_what_is_requested"
DELEGATION = f"{FIELDS}test_a_delegation_is_of_and_for_the_named"
REVOKED = f"{FIELDS}test_a_revocation_is_of_the_named_where_it_is_asked_for"
RENEWED = f"{FIELDS}test_a_renewal_is_by_the_named_for_the_time_asked_for"
ROTATED = f"{FIELDS}test_the_named_agents_key_is_changed_and_its_cache_counted"
SESSION = f"{FIELDS}test_a_session_is_of_the_named"
PINS = "integration/scenarios/test_proofs.py::test_without_its_mechanism_the_demonstration_fails_at_its_claim"
PROVISIONED = f"{FIELDS}test_what_is_provisioned_is_the_named_agents_in_the_named_place"
AT_CP = f"{FIELDS}test_who_enrols_and_whose_delegations_are_walked_is_named"

#: Which test fails when the field is passed over. A step's own fields stand under its type, common ones under ``step``.
PROOFS = {
    "ScenarioPack.apiVersion": VERSIONED,
    "ScenarioPack.kind": VERSIONED,
    "ScenarioPack.metadata.slug": f"{LINT}test_a_pack_called_otherwise_than_its_directory_is_doubtful",
    "ScenarioPack.metadata.name": SHOWN,
    "ScenarioPack.metadata.description": SHOWN,
    "ScenarioPack.metadata.tags": SHOWN,
    "Scenario.apiVersion": VERSIONED,
    "Scenario.kind": VERSIONED,
    "Scenario.metadata.pack": REF,
    "Scenario.metadata.scenario": REF,
    "Scenario.metadata.version": REF,
    "Scenario.metadata.name": SHOWN,
    "Scenario.metadata.summary": SHOWN,
    "Scenario.metadata.tags": SHOWN,
    "Scenario.spec.inputs.schema": f"{HERE}/test_inputs.py::test_each_fault_is_told_with_its_pointer",
    "Scenario.spec.agents.id": BROKEN,
    "Scenario.spec.agents.ref": f"{CATALOG}test_a_ref_resolves_to_the_scenario_and_the_manifest_of_each_agent",
    "Scenario.spec.agents.port_offset": f"{FIELDS}test_the_offset_is_added_to_the_first_port",
    "Scenario.spec.agents.org": KEY,
    "Scenario.spec.agents.cloud": LABELS,
    "Scenario.spec.agents.did_web_host": DID,
    "Scenario.spec.agents.signing_suite": KEY,
    "Scenario.spec.trust.boundary": f"{FIELDS}test_the_boundary_is_told_with_each_handshake",
    "Scenario.spec.trust.discovery": PEERS,
    "Scenario.spec.trust.eager": f"{FIELDS}test_eager_trust_is_there_before_the_first_step_and_else_not",
    "Scenario.spec.workflow.steps": MERGED,
    "Scenario.spec.aitp.accepted_identity_types": (
        f"{FIELDS}test_agents_of_an_issuer_are_accepted_by_those_who_accept_them"
    ),
    "ScenarioTemplate.apiVersion": VERSIONED,
    "ScenarioTemplate.kind": f"{CATALOG}test_a_file_of_another_kind_among_the_templates_is_passed_over_with_a_warning",
    "ScenarioTemplate.metadata.name": f"{CATALOG}test_a_template_is_merged_and_an_unknown_one_not_found",
    "ScenarioTemplate.metadata.summary": f"{LOADED}test_a_scenario_is_shown_as_its_file_with_every_section_and_default",
    **{f"ScenarioTemplate.spec.trust.{name}": PATCHED for name in ("boundary", "discovery", "eager")},
    **{
        f"ScenarioTemplate.spec.agents.{name}": MERGED
        for name in ("id", "ref", "port_offset", "org", "cloud", "did_web_host", "signing_suite")
    },
    "ScenarioTemplate.spec.workflow.steps": MERGED,
    "AgentManifest.apiVersion": VERSIONED,
    "AgentManifest.kind": VERSIONED,
    "AgentManifest.metadata.id": (
        f"{LINT}test_a_pack_without_a_pack_file_and_a_manifest_under_another_name_are_doubtful"
    ),
    "AgentManifest.metadata.name": LABELS,
    "AgentManifest.metadata.framework": LABELS,
    "AgentManifest.metadata.version": LABELS,
    "AgentManifest.spec.entrypoint.type": STARTED,
    "AgentManifest.spec.entrypoint.value": STARTED,
    "AgentManifest.spec.host.python": STARTED,
    "AgentManifest.spec.host.cwd": STARTED,
    "AgentManifest.spec.host.startupTimeoutMs": (
        f"{FAILURES}test_an_agent_that_never_gets_ready_fails_its_run_and_shows_as_crashed"
    ),
    "AgentManifest.spec.host.env": STARTED,
    "AgentManifest.spec.aitp.offered_caps": FACE,
    "AgentManifest.spec.aitp.display_name": FACE,
    "AgentManifest.spec.aitp.identity_type": FACE,
    "AgentManifest.spec.aitp.oidc_issuer": FACE,
    "AgentManifest.spec.aitp.oidc_subject": FACE,
    "AgentManifest.spec.aitp.signing_suite": KEY,
    "AgentManifest.spec.aitp.ttl_secs": FACE,
    "AgentManifest.spec.aitp.redelegation": (
        f"{FIELDS}test_what_is_redeemed_comes_with_a_voucher_as_often_as_the_manifest_says"
    ),
    "AgentManifest.spec.did_web": DID,
    "AgentManifest.spec.llm": f"{FIELDS}test_a_language_model_is_for_those_that_ask_for_one",
    "step.id": BROKEN,
    "step.type": f"{CATALOG}test_a_step_without_type_is_workflow_with_agent_and_capability_and_meta_otherwise",
    "step.description": f"{FIELDS}test_a_remark_is_told_when_its_step_begins_and_by_meta_when_it_is_passed",
    **{
        f"step.expect.{name}": EXPECT
        for name in ("path", "event", "where", "equals", "not", "contains", "min", "max", "exists", "matches")
    },
    "step.expect.within_ms": "integration/runs/test_proof.py::test_what_comes_late_is_waited_for_as_long_as_is_said",
    "step.requires": "integration/runs/test_proof.py::test_a_step_that_requires_a_skipped_one_is_not_tried",
    "step.on_mismatch": STATUS,
    "step.fault.kind": f"{FIELDS}test_every_step_that_takes_a_fault_meets_it",
    "step.fault.note": f"{FIELDS}test_the_note_of_a_fault_is_told_with_it",
    "step.timeout_ms": f"{FAILURES}test_a_capability_that_hangs_runs_into_the_steps_time",
    **{f"workflow.{name}": CALL for name in ("agent", "capability", "input_from", "input_template")},
    **{f"capability_probe.{name}": CALL for name in ("agent", "target_agent", "capability", "input_from")},
    "capability_probe.input_template": CALL,
    "capability_probe.expect_status": STATUS,
    **{f"capability_call_no_trust.{name}": CALL for name in ("agent", "target_agent", "capability")},
    "capability_call_no_trust.input_from": f"{FIELDS}test_an_open_door_gets_a_strangers_input",
    "capability_call_no_trust.input_template": f"{FIELDS}test_an_open_door_gets_a_strangers_input",
    "capability_call_no_trust.expect_status": STATUS,
    **{f"handshake.{name}": SHAKE for name in ("initiator", "responder", "requested_grants")},
    **{f"delegate.{name}": DELEGATION for name in ("delegator", "delegatee", "via_peer", "scope", "ttl_secs")},
    **{f"redeem_delegation.{name}": DELEGATION for name in ("delegatee", "target", "via_delegation")},
    **{f"revoke_tct.{name}": REVOKED for name in ("issuer", "audience", "via_cp", "reason", "local")},
    **{f"renew_tct.{name}": RENEWED for name in ("agent", "via_peer", "new_ttl_secs")},
    "rotate_keys.agent": ROTATED,
    "tct_cache_stats.agent": ROTATED,
    **{f"export_session_bundle.{name}": SESSION for name in ("coordinator", "participants")},
    **{f"verify_session_bundle.{name}": SESSION for name in ("verifier", "via_step")},
    **{f"spki_pin_check.{name}": PINS for name in ("cert_der_b64", "pins", "expect_status")},
    "enroll_with_cp.agent": AT_CP,
    "cp_subscribe_webhook.events": f"{FIELDS}test_what_is_subscribed_to_is_what_is_named",
    **{f"cp_provision_trust_anchor.{name}": PROVISIONED for name in ("agent", "namespace", "issuer_url")},
    "cp_delegation_tree.agent": AT_CP,
}  # fmt: skip


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def fields_of(model: type[BaseModel], path: str) -> Iterator[str]:
    """The fields below ``path`` that are no section: ``path.alias.alias``. The steps are looked at by their types."""
    for name, field in model.model_fields.items():
        inner = [found for found in models_in(field.annotation) if not issubclass(found, StepSpec)]
        here = f"{path}.{field.alias or name}"
        for found in inner:
            yield from fields_of(found, here)
        if not inner:
            yield here


def all_fields() -> set[str]:
    found = {
        field for model in (ScenarioPack, Scenario, ScenarioTemplate, AgentManifest)
        for field in fields_of(model, model.__name__)
    }  # fmt: skip
    common = set(fields_of(StepSpec, "step"))
    for name, step in STEP_TYPES.items():
        found |= {f for f in fields_of(step, name) if f"step.{f.partition('.')[2]}" not in common}
    return found | common


@cache
def names_in(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return {part.name for part in tree.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_each_field_has_its_proof_and_each_proof_its_field() -> None:
    assert all_fields() == PROOFS.keys()


@pytest.mark.parametrize("proof", sorted(set(PROOFS.values())))
def test_each_proof_is_a_test(proof: str) -> None:
    file, _, name = proof.partition("::")
    assert name in names_in(file)


@pytest.mark.parametrize("model", [ScenarioPack, Scenario, ScenarioTemplate, AgentManifest])
@pytest.mark.parametrize("field", ["apiVersion", "kind"])
def test_a_version_or_a_kind_that_is_none_is_refused(model: type[BaseModel], field: str) -> None:
    (name,) = [name for name, known in model.model_fields.items() if (known.alias or name) == field]
    (only,) = get_args(model.model_fields[name].annotation)
    assert only in {"aitp.dev/v1", model.__name__ if model is not Scenario else "ScenarioVersion"}
    with pytest.raises(ValueError, match=rf"{field}\n"):
        model.model_validate({field: "something else"})
