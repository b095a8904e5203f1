"""RunState is a fold: what a run is follows from its events and from nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitp_playground.events.model import RunEvent, draft
from aitp_playground.events.proof import NO_CLAIM
from aitp_playground.runs.state import RunState, fold

STEP = st.sampled_from(["a", "b", "c"])
STORY = st.lists(
    st.one_of(
        st.builds(lambda step: ("step.started", {"step_id": step}), STEP),
        st.builds(lambda step, n: ("step.complete", {"step_id": step, "result": {"n": n}}), STEP, st.integers(0, 9)),
        st.builds(lambda step: ("step.failed", {"step_id": step, "error": "no"}), STEP),
        st.builds(lambda step, un: ("step.skipped", {"step_id": step, "unproven": un}), STEP, st.booleans()),
        st.just(("trust.established", {"initiator": "a", "target": "b"})),
        st.just(("run.complete", {})),
        st.just(("run.failed", {"error": "broken"})),
        st.just(("run.cancelled", {})),
    ),
    max_size=30,
)


def events(*story: tuple[str, dict[str, Any]]) -> list[RunEvent]:
    return [
        RunEvent(seq=seq, id=f"id-{seq}", type=kind, ts=float(seq), run_id="r", fields=draft(kind, **fields).fields)
        for seq, (kind, fields) in enumerate(story, 1)
    ]


@given(STORY, st.data())
def test_folding_in_two_parts_gives_what_folding_at_once_gives(story: Any, data: Any) -> None:
    log = events(*story)
    cut = data.draw(st.integers(0, len(log)))
    assert fold(log[cut:], fold(log[:cut])) == fold(log)


@given(STORY)
def test_the_first_terminal_event_decides_for_good(story: Any) -> None:
    log = events(("run.started", {}), *story)
    endings = [event for event in log if event.type in {"run.complete", "run.failed", "run.cancelled"}]
    state = fold(log)
    assert state.over is bool(endings)
    if endings:
        expected = {"run.complete": "success", "run.failed": "failed", "run.cancelled": "cancelled"}
        assert state.status == expected[endings[0].type]
        assert state.finished_at == endings[0].ts
    assert state.seq == len(log)


def test_outputs_are_kept_when_the_step_or_the_run_fails() -> None:
    state = fold(
        events(
            ("run.started", {}),
            ("step.started", {"step_id": "a"}),
            ("step.complete", {"step_id": "a", "result": {"n": 1}}),
            ("step.started", {"step_id": "b"}),
            ("step.failed", {"step_id": "b", "error": "no", "result": {"status_code": 200}}),
            ("run.failed", {"error": "no"}),
        )
    )
    assert state.results == {"a": 3, "b": 5}
    assert (state.status, state.error, state.proof) == ("failed", "no", None)


def proof(*middle: tuple[str, dict[str, Any]]) -> tuple[str | None, list[str]]:
    state = fold(events(("run.started", {}), *middle, ("run.complete", {})))
    return state.proof, state.unproven_because


CLAIM = ("step.complete", {"step_id": "claim", "result": {}, "checked": 1})


def test_a_success_is_proven_when_a_claim_was_checked_and_nothing_speaks_against_it() -> None:
    assert proof(CLAIM, ("step.skipped", {"step_id": "a", "notes": "a remark"})) == ("proven", [])


@pytest.mark.parametrize(
    ("doubt", "sentence"),
    [
        (
            ("step.skipped", {"step_id": "a", "unproven": True, "notes": "there is no Control Plane"}),
            "no Control Plane",
        ),
        (("step.complete", {"step_id": "a", "result": {}, "unproven": "status 200, expected 403"}), "expected 403"),
        (("step.complete", {"step_id": "a", "result": {}, "unproven": True}), "step a"),
        (("cp.degraded", {"operation": "discover", "cause": "circuit_open"}), "circuit_open"),
        (("trust.peers_resolved", {"peers": {"w": {"source": "static_fallback"}, "r": {"source": "static"}}}), "w was"),
        (
            ("trust.peers_resolved", {"peers": {"w": {"source": "static_fallback", "reason": "cp_disabled"}}}),
            "no Control Plane is configured: --with-control-plane",
        ),
        (
            ("agent.spawning", {"agent_id": "w", "port": 1, "payload": {"python_missing": "/x/python"}}),
            "w ran on another interpreter than /x/python",
        ),
        (
            ("revocation.refresh_failed", {"agent_id": "a", "cause": "not_advertised", "payload": {"peer": "b"}}),
            "a took a token of b, which advertises no revocation list",
        ),
        (
            (
                "revocation.verify_failed",
                {"agent_id": "a", "cause": "expired", "payload": {"peer": "b", "fail_mode": "fail_open"}},
            ),
            "a took a token of b without its revocation list: expired",
        ),
        (("step.fault_injected", {"initiator": "a", "target": "b", "kind": "peer_offline"}), "peer_offline on b"),
    ],
)
def test_whatever_kept_a_claim_from_being_tried_makes_a_success_unproven_and_is_told(
    doubt: tuple[str, dict[str, Any]], sentence: str
) -> None:
    verdict, because = proof(CLAIM, doubt)
    assert verdict == "unproven"
    assert len(because) == 1
    assert sentence in because[0]


def test_a_list_that_could_not_be_had_casts_no_doubt_where_nothing_was_taken_without_it() -> None:
    polled = ("revocation.refresh_failed", {"agent_id": "a", "cause": "timeout"})
    refused = (
        "revocation.refresh_failed",
        {"agent_id": "a", "cause": "timeout", "payload": {"peer": "b", "fail_mode": "fail_closed"}},
    )
    assert proof(CLAIM, polled, refused) == ("proven", [])


def test_a_success_that_claims_nothing_proves_nothing() -> None:
    assert proof(("step.complete", {"step_id": "a", "result": {}})) == ("unproven", [NO_CLAIM])


def test_what_follows_the_end_casts_no_doubt_on_it() -> None:
    late = ("cp.degraded", {"operation": "unsubscribe", "cause": "timeout"})
    state = fold(events(("run.started", {}), CLAIM, ("run.complete", {}), late))
    assert (state.proof, state.unproven_because) == ("proven", [])


def test_a_fault_that_a_step_declares_casts_no_doubt() -> None:
    assert proof(CLAIM, ("step.fault_injected", {"step_id": "f", "kind": "peer_offline"}))[0] == "proven"


def test_a_meta_skip_leaves_no_output() -> None:
    state = fold(events(("step.started", {"step_id": "m"}), ("step.skipped", {"step_id": "m", "notes": "a remark"})))
    assert state.results == {}
    assert state.current_step is None


def test_the_summary_counts_what_was_folded() -> None:
    state = fold(events(("run.started", {}), ("run.cancelled", {})))
    summary = state.summary("r")
    assert (summary.status, summary.event_count, summary.finished_at) == ("cancelled", 2, 2.0)
    assert RunState().summary("r").status == "pending"
