"""A run reads as prose that no event can forge."""

from __future__ import annotations

from typing import Any

from aitp_playground.events.model import RunEvent, draft
from aitp_playground.observability.narrator import Narrator


def run(*steps: tuple[float, str, dict[str, Any]]) -> list[RunEvent]:
    return [
        RunEvent(seq=n, id=str(n), type=kind, ts=1_700_000_000.0 + at, run_id="r", fields=draft(kind, **fields).fields)
        for n, (at, kind, fields) in enumerate(steps, 1)
    ]


def narrate(events: list[RunEvent]) -> list[str]:
    narrator = Narrator()
    return [*narrator.lines(events).decode().splitlines(), narrator.summary()]


STORY = run(
    (0.0, "run.started", {"scenario_ref": "demo/refusal@1.0.0"}),
    (0.001, "agent.spawning", {"agent_id": "writer", "port": 8100}),
    (0.002, "agent.spawning", {"agent_id": "researcher", "port": 8101}),
    (0.042, "agent.ready", {"agent_id": "writer", "aid": "aid:pubkey:" + "W" * 43, "port": 8100}),
    (0.05, "step.started", {"step_id": "probe"}),
    (0.055, "capability.denied", {"agent_id": "writer", "caller": "researcher", "capability": "write.content",
                                  "cause": "tct_missing"}),
    (0.06, "step.access_denied", {"step_id": "probe", "agent": "researcher", "target": "writer"}),
    (0.061, "step.complete", {"step_id": "probe", "result": {"rejected": True}}),
    (0.062, "step.skipped", {"step_id": "enroll", "notes": "no cp", "unproven": True}),
    (0.07, "run.complete", {}),
)  # fmt: skip


def test_a_line_for_each_event_with_its_time_and_one_that_sums_up() -> None:
    lines = narrate(STORY)
    assert len(lines) == len(STORY) + 1
    assert lines[3].startswith("+0.042s  writer: ready as aid:pubkey:")
    assert (
        lines[-1]
        == "run success, unproven (step enroll: no cp): 1 step completed, 1 skipped, 0 failed; 2 agents; 0.070 s"
    )


def test_what_happens_inside_a_step_is_indented_also_when_an_agent_reports_it() -> None:
    lines = [line.split("s  ", 1)[1] for line in narrate(STORY)[:-1]]
    assert [line.startswith("  ") for line in lines] == [False] * 5 + [True, True] + [False] * 3
    assert lines[5].strip() == "writer refused researcher's call to write.content: no TCT was presented (tct_missing)"


def test_an_unknown_type_is_passed_over() -> None:
    assert Narrator().line(run((0, "run.exploded", {}))[0]) is None


def test_an_event_cannot_forge_a_second_line_or_drive_the_terminal() -> None:
    forged = "x\n+9.999s  run complete\x1b[2J\u202e\x9b"
    (line,) = [Narrator().line(event) for event in run((0, "run.failed", {"error": forged}))]
    assert line is not None
    assert line.isprintable()
    assert len(line.splitlines()) == 1


def test_what_arrives_after_the_end_does_not_lengthen_the_run() -> None:
    late = run((0, "run.started", {}), (1, "run.complete", {}), (99, "cp.webhook.delivered", {"delivery_id": "d"}))
    assert narrate(late)[-1].endswith("; 1.000 s")


def test_a_run_that_is_not_over_says_so() -> None:
    narrator = Narrator()
    narrator.line(STORY[0])
    assert narrator.summary().startswith("run not over: 0 steps completed")


def test_a_failed_run_counts_its_failed_step() -> None:
    failed = run(
        (0, "run.started", {}), (1, "step.failed", {"step_id": "s", "error": "no"}), (2, "run.failed", {"error": "no"})
    )
    assert narrate(failed)[-1].startswith("run failed: 0 steps completed, 0 skipped, 1 failed")


def test_a_successful_run_that_checked_a_claim_is_proven_and_one_that_checked_none_says_so() -> None:
    claim = (0.5, "step.complete", {"step_id": "a", "result": {}, "checked": 1})
    begin, end = (0, "run.started", {}), (1, "run.complete", {})
    assert narrate(run(begin, claim, end))[-1].startswith("run success, proven:")
    assert narrate(run(begin, end))[-1].startswith("run success, unproven (no claim was checked")


def test_an_empty_log_is_summed_up_without_an_error() -> None:
    assert narrate([]) == ["run not over: 0 steps completed, 0 skipped, 0 failed; 0 agents; 0.000 s"]


def test_a_long_error_is_told_with_its_beginning_and_its_end() -> None:
    error = "agent a did not start " + "\n  in a frame" * 400 + "\nKeyError: 'licence'"
    for kind, more in (("run.failed", {}), ("step.failed", {"step_id": "s" * 128}), ("handshake.failed", {})):
        (event,) = run((0, kind, {"agent_id": "a", **more, "error": error}))
        line = Narrator().line(event)
        assert line is not None
        assert "agent a did not start" in line
        assert line.endswith("KeyError: 'licence'")
        assert len(line) <= 1050
