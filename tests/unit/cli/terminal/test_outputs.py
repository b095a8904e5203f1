"""The digest tells what came of a run without handing the terminal to the agents."""

from __future__ import annotations

from aitp_playground.cli.terminal.outputs import digest


def test_a_text_is_told_by_its_title_and_first_lines_only() -> None:
    body = "# A title\n\n" + "\n".join(f"line {number}" for number in range(20))
    lines = list(digest({"write": {"title": "A title", "body": body}}))
    assert lines[:2] == ["write: A title", "  line 0"]
    assert lines[-1] == "  … 14 more lines"
    assert "  # A title" not in lines


def test_other_outputs_are_told_by_their_values() -> None:
    assert list(digest({"probe": {"status_code": 403, "rejected": True}})) == ["probe: status_code=403, rejected=yes"]


def test_an_agent_cannot_drive_the_terminal_through_its_output() -> None:
    hostile = {"write": {"title": "\x1b[2J", "body": "\x1b]0;owned\x07\nnext"}, "other": {"key\x1b": "\x1b[31m"}}
    assert all(line.isprintable() for line in digest(hostile))


def test_very_many_outputs_are_cut() -> None:
    lines = list(digest({f"step-{number}": {} for number in range(200)}))
    assert len(lines) == 51
    assert "150 more" in lines[-1]
