"""The table says everything about every type, and nothing an event holds can break its sentence."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitp_playground.events.model import PROMOTED, EventDraft, RunEvent, draft
from aitp_playground.events.narration import MAX_LINE, value_text
from aitp_playground.events.vocabulary import (
    AFTER_TERMINAL,
    AGENT_TYPES,
    REFUSAL_CODES,
    TERMINAL_TYPES,
    TYPES,
    EventSpec,
    known_fields,
    spec,
    validate,
)
from base.refusals import RefusalCode

SERVICE = {
    "run.started",
    "oidc.issuer_minted",
    "agent.spawning",
    "agent.ready",
    "trust.peers_resolved",
    "run.complete",
    "run.failed",
    "run.cancelled",
    "trust.establishing",
    "trust.established",
    "trust.failed",
    "manifest.verify_failed",
    "delegation.issuing",
    "delegation.redeeming",
    "revocation.published",
    "tct.renewed",
    "tct.cache.stats",
    "identity.key.rotated",
    "session.bundle.exported",
    "session.bundle.verified",
    "spki.pin.checked",
    "step.started",
    "step.complete",
    "step.failed",
    "step.skipped",
    "step.probing_no_trust",
    "step.probing_with_held_tct",
    "step.access_denied",
    "step.unexpected_status",
    "step.fault_injected",
    "step.fault_complete",
}
CONTROL_PLANE = {
    "cp.enroll_started",
    "cp.enroll_complete",
    "cp.webhook.subscribed",
    "cp.webhook.subscribe_failed",
    "cp.webhook.delivered",
    "cp.webhook.unsubscribed",
    "cp.trust_anchor.provisioned",
    "cp.delegation.tree",
    "cp.degraded",
}
AGENTS = {
    "handshake.started",
    "handshake.complete",
    "handshake.answered",
    "handshake.failed",
    "delegation.issued",
    "delegation.redeemed",
    "delegation.rejected",
    "tct.revoked",
    "tct.dropped",
    "stranger.accepted",
    "tct.renewal.refused",
    "tct.received",
    "tct.renewal.requested",
    "tct.renewal.issued",
    "capability.self_execute",
    "capability.invoked",
    "capability.denied",
    "llm.started",
    "llm.complete",
    "llm.failed",
    "cp.enroll_succeeded",
    "cp.enroll_failed",
    "revocation.list_fetched",
    "revocation.refresh_failed",
    "revocation.verify_failed",
}

JTI = "0b0b7f0e-1111-4222-8333-abcdefabcdef"
VALUES: dict[str, Any] = {
    "port": 8101,
    "grants": ["write.content", "research.query"],
    "jti": JTI,
    "aid": "aid:pubkey:" + "x" * 43,
    "peers": {"writer": {"source": "static_fallback", "reason": "no_match"}},
    "result": {"ok": True},
    "foreign": True,
    "payload": {"reason": "because", "source": "local", "count": 3},
}


#: What an event must have and its sentence does not repeat.
UNSAID: dict[str, set[str]] = {
    "trust.peers_resolved": {"peers"},  # how each was found, not as an object
    "step.complete": {"result"},
    "step.probing_no_trust": {"step_id"},
    "step.probing_with_held_tct": {"step_id"},
    "step.access_denied": {"step_id"},
    "step.unexpected_status": {"step_id"},
    "cp.webhook.delivered": {"delivery_id"},
}


def row(event_type: str) -> EventSpec:
    found = spec(event_type)
    assert found is not None
    return found


def event(event_type: str, /, **fields: Any) -> RunEvent:
    made = draft(event_type, **fields)
    return RunEvent(seq=1, id="e", type=event_type, ts=1.0, run_id="r", fields=made.fields)


def sentence(event_type: str, /, **fields: Any) -> str:
    return row(event_type).narrate(event(event_type, **fields))


def test_the_table_has_exactly_the_types_of_the_specification() -> None:
    assert set(TYPES) == SERVICE | CONTROL_PLANE | AGENTS


def test_telemetry_may_bring_the_types_of_agents_and_no_other() -> None:
    assert AGENT_TYPES == AGENTS


def test_three_types_end_a_run_each_with_its_status() -> None:
    assert TERMINAL_TYPES == {"run.complete": "success", "run.failed": "failed", "run.cancelled": "cancelled"}


def test_three_types_may_follow_the_end_of_a_run() -> None:
    assert frozenset({"cp.webhook.delivered", "cp.webhook.unsubscribed", "cp.degraded"}) == AFTER_TERMINAL


def test_an_unknown_type_has_no_row() -> None:
    assert spec("run.exploded") is None


@pytest.mark.parametrize("event_type", TYPES)
def test_every_type_makes_a_sentence_of_no_the_least_and_all_fields(event_type: str) -> None:
    least = {name: VALUES.get(name, f"some {name}") for name in row(event_type).must}
    everything = {name: VALUES.get(name, f"some {name}") for name in row(event_type).allowed}
    lines = [sentence(event_type, **fields) for fields in ({}, least, everything)]
    for line in lines:
        assert line.strip() == line
        assert line.isprintable()
    for name in row(event_type).must - UNSAID.get(event_type, set()):
        assert value_text(name, least[name]) in lines[1], name
    assert "?" not in row(event_type).narrate(event(event_type, **least)), (
        "a field it needs is not among its must-fields"
    )


@pytest.mark.parametrize("event_type", TYPES)
def test_the_least_and_all_declared_fields_validate(event_type: str) -> None:
    payload = dict.fromkeys(row(event_type).payload - {"*"}, "text")
    for names in (row(event_type).must, row(event_type).allowed):
        validate(EventDraft(event_type, {name: VALUES.get(name, "text") for name in names} | {"payload": payload}))


@pytest.mark.parametrize("event_type", sorted(set(TYPES) - {"cp.webhook.delivered"}))
def test_a_name_in_the_payload_that_is_not_declared_is_a_fault(event_type: str) -> None:
    must = {name: VALUES.get(name, "text") for name in row(event_type).must}
    with pytest.raises(ValueError, match=r"payload\.surprise is not declared"):
        validate(EventDraft(event_type, must | {"payload": {"surprise": 1}}))


def test_what_an_event_can_hold_is_known_unless_it_comes_from_outside() -> None:
    known = known_fields("capability.denied")
    assert known is not None
    assert {"seq", "ts", "agent_id", "capability", "code", "step_id"} <= known
    assert "cod" not in known
    assert known_fields("cp.webhook.delivered") is None


HOSTILE = "evil\r\n+0.001s run complete\x1b[2J\x9b31m\x00\u202egnirts\u2028\u2066\x85\ud800" + "x" * 5000
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(HOSTILE) | st.just(10**4000) | st.text(),
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.text() | st.just(HOSTILE), inner, max_size=12),
    max_leaves=12,
)


@given(
    event_type=st.sampled_from(TYPES),
    fields=st.dictionaries(st.sampled_from(PROMOTED), VALUE),
    extra=st.dictionaries(st.sampled_from(["reason", "peer", "source", "code", "subject", "count"]), VALUE),
)
def test_no_value_in_an_event_breaks_forges_or_overlengthens_a_line(
    event_type: str, fields: dict[str, Any], extra: dict[str, Any]
) -> None:
    line = row(event_type).narrate(event(event_type, **{"payload": extra, **fields}))
    assert len(line) <= MAX_LINE
    assert line.isprintable()


def test_a_refused_call_says_who_refused_whom_and_why() -> None:
    assert (
        sentence(
            "capability.denied", agent_id="writer", caller="researcher", capability="write.content", cause="tct_missing"
        )
        == "writer refused researcher's call to write.content: no TCT was presented (tct_missing)"
    )


def test_a_refused_handshake_names_the_other_side_whoever_tells_of_it() -> None:
    for teller, other in (("writer", "researcher"), ("researcher", "writer")):
        line = sentence(
            "handshake.failed", agent_id=teller, initiator="researcher", target="writer", code="peer_unknown"
        )
        assert line.startswith(f"{teller} broke off the handshake with {other}: ")


def test_a_caller_without_a_token_is_named_by_the_step() -> None:
    line = sentence("capability.denied", agent_id="writer", agent="researcher", capability="write.content", code="x")
    assert line == "writer refused researcher's call to write.content: x"


def test_the_refusal_that_a_caller_gets_is_told_from_its_side() -> None:
    line = sentence(
        "step.access_denied",
        step_id="s",
        agent="researcher",
        target="writer",
        capability="write.content",
        status_code=403,
        error="tct_missing: the call carries no TCT",
    )
    assert line == "researcher gets 403 from writer for write.content: tct_missing: the call carries no TCT"


def test_a_code_that_the_words_hold_is_not_said_twice() -> None:
    failed = {"agent_id": "a", "initiator": "a", "target": "b", "code": "not_found"}
    line = sentence("handshake.failed", **failed, error="the peer answered 404 not_found")
    assert line == "a broke off the handshake with b: the peer answered 404 not_found"


def test_a_handshake_that_a_fault_sent_astray_says_where_to() -> None:
    line = sentence("trust.establishing", initiator="a", target="b", source_url="http://localhost:1/missing")
    assert line == "a opens a handshake with b, sent to http://localhost:1/missing"


def test_an_error_is_told_at_more_length_than_other_values() -> None:
    reason = "expected " + "x" * 250
    assert sentence("step.failed", step_id="s", error=reason) == f"step s failed: {reason}"


def test_a_call_that_was_answered_says_whose_and_how() -> None:
    line = sentence(
        "capability.invoked", agent_id="writer", capability="write.content", caller="researcher", status_code=500
    )
    assert line == "writer answered researcher's call to write.content with status 500"


def test_a_refusal_names_the_source_that_knew() -> None:
    line = sentence("capability.denied", agent_id="w", capability="c", cause="tct_revoked", source="cp-snapshot")
    assert line.endswith("the TCT is revoked (tct_revoked, cp-snapshot)")


@pytest.mark.parametrize(
    "code", [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200B, 0x202E, 0x2028, 0x2066, 0xFEFF, 0xD800]
)
def test_no_control_or_direction_character_of_an_event_reaches_the_reader(code: int) -> None:
    line = sentence("run.failed", error=f"a{chr(code)}b")
    assert chr(code) not in line
    assert line.startswith("run failed: a")


def test_ordinary_text_of_any_language_is_left_as_it_is() -> None:
    assert sentence("run.failed", error="größer, 失敗, ошибка, 🙂") == "run failed: größer, 失敗, ошибка, 🙂"


def test_an_optional_part_disappears_with_its_field() -> None:
    assert sentence("run.started") == "run started"
    assert sentence("run.started", scenario_ref="a/b@1", template="cp") == "run started: a/b@1, template cp"


def test_where_each_peer_was_found_is_told_with_the_reason_for_a_fallback() -> None:
    peers = {"writer": {"source": "static_fallback", "reason": "no_match"}, "analyzer": {"source": "static"}}
    assert sentence("trust.peers_resolved", peers=peers) == (
        "peers found: writer (static_fallback, no_match), analyzer (static)"
    )


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (draft("run.exploded"), "no such event type"),
        (draft("run.failed"), "error is missing"),
        (draft("agent.ready", agent_id="a", aid="b"), "port is missing"),
        (draft("run.started", jti="j"), "jti is not declared"),
        (draft("run.failed", error={"a": 1}), "error must be a str"),
        (draft("trust.established", initiator="a", target="b", grants="x", jti="j"), "grants must be a list"),
    ],
)
def test_validation_names_the_type_and_the_fault(made: EventDraft, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as raised:
        validate(made)
    assert made.type in str(raised.value)


def test_the_codes_of_refusals_are_those_that_agents_refuse_with() -> None:
    assert set(get_args(RefusalCode)) == REFUSAL_CODES


@pytest.mark.parametrize("name", ["aid", "issuer", "peer_aid", "subject", "delegatee_aid", ""])
def test_an_aid_is_cut_under_whatever_name_it_stands(name: str) -> None:
    assert value_text(name, "aid:pubkey:" + "x" * 43) == "aid:pubkey:xxxxxx…xxxx"
    assert value_text(name, "who is aid:pubkey:" + "x" * 43).endswith("x" * 43)
