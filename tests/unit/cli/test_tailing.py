"""The parts of ``tail``: lines out of pieces, a log's lines as events, columns for people."""

from __future__ import annotations

import io
import json
import os
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitp_playground.cli.tailing import log_lines, view
from aitp_playground.cli.tailing.log_lines import Lines, event_of
from aitp_playground.cli.tailing.view import View
from aitp_playground.cli.tailing.wanted import Wanted
from aitp_playground.cli.terminal import columns as terminal_columns
from aitp_playground.events.selection import Selection, moment_of


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_lines_are_the_same_however_they_come(pieces: list[bytes]) -> None:
    lines, found = Lines(), []
    for piece in pieces:
        found += lines.take(piece)
    found += lines.rest()
    whole = b"".join(pieces)
    assert b"\n".join(found) == whole.removesuffix(b"\n")
    assert [line for line in found if b"\n" in line] == []


def test_a_line_without_end_costs_no_memory_and_no_other_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "_LONGEST", 100)
    lines = Lines()
    assert lines.take(b"first\n" + b"x" * 90) == [b"first"]
    for _ in range(50):
        assert lines.take(b"x" * 90) == []
        assert len(lines._held) <= 200
    assert lines.take(b"x\nsecond\n") == [b"second"]
    assert lines.rest() == []


def test_a_line_of_the_log_is_the_event_that_it_tells_of() -> None:
    line = {"seq": 3, "id": "i", "run_id": "r", "event": "agent.ready", "agent_id": "writer", "port": 1}
    line |= {"level": "info", "timestamp": "2026-01-31T12:00:00.500000Z"}
    found = event_of(json.dumps(line).encode())
    assert found == {
        "seq": 3,
        "id": "i",
        "type": "agent.ready",
        "ts": 1769860800.5,
        "run_id": "r",
        "agent_id": "writer",
        "port": 1,
        "level": "info",
    }
    assert list(found)[:4] == ["seq", "id", "type", "ts"]


@pytest.mark.parametrize(
    "line", [b"", b"no JSON", b"[]", b"5", b'{"event": 5}', b'{"other": "x"}', b"\xff\xfe", b'{"event"']
)
def test_what_is_no_line_of_the_log_is_passed_over(line: bytes) -> None:
    assert event_of(line) is None


# -- columns -----------------------------------------------------------------------------------------------------------

READY: dict[str, Any] = {
    "seq": 3,
    "id": "i",
    "type": "agent.ready",
    "ts": 1769860800.5,
    "run_id": "3f0c1f6e-1111-4222-8333-444455556666",
    "agent_id": "writer",
    "aid": "aid:pubkey:x",
    "port": 1,
}


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = SimpleNamespace(stdout=Terminal(io.BytesIO(), encoding="utf-8"))
    for module in (view, terminal_columns):
        monkeypatch.setattr(module, "sys", stdout)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def width(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr(terminal_columns.shutil, "get_terminal_size", lambda _: os.terminal_size((columns, 24)))


def test_in_a_pipe_there_is_no_colour_and_every_column() -> None:
    line = View(as_json=False).line(READY).decode()
    _, *columns = line.split()
    assert columns == ["3f0c1f6e", "writer", "agent.ready", *["writer:", "ready", "as", "aid:pubkey:x,", "port", "1"]]
    assert "\x1b" not in line


@pytest.mark.parametrize(("columns", "shown"), [(120, (True, True)), (80, (True, True)), (40, (True, False))])
def test_on_a_narrow_terminal_less_is_shown(
    terminal: None, monkeypatch: pytest.MonkeyPatch, columns: int, shown: tuple[bool, bool]
) -> None:
    width(monkeypatch, columns)
    line = View(as_json=False).line(READY).decode()
    assert ("3f0c1f6e" in line, "writer   " in line) == shown
    assert "ready as" in line


def test_on_a_terminal_each_agent_has_one_colour_and_trouble_its_own(
    terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    width(monkeypatch, 160)
    shown = View(as_json=False)
    assert shown.line(READY) == shown.line(READY)
    assert "\x1b[" in shown.line(READY).decode()
    assert "\x1b[31m" in shown.line({**READY, "type": "run.failed", "error": "why"}).decode()
    for name, value in (("TERM", "dumb"), ("NO_COLOR", "1")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert "\x1b" not in View(as_json=False).line(READY).decode()


def test_nothing_in_an_event_reaches_the_terminal_or_ends_the_line(terminal: None) -> None:
    bad = "\x1b[2J\r\n\u202eevil"
    event = {**READY, "type": bad, "agent_id": bad, "run_id": bad, "aid": bad, bad: bad, "level": bad, "ts": bad}
    for shown in (event, {**event, "type": "agent.ready", "ts": 1.0}, {"type": "stream.gap", "runs": [bad]}):
        line = View(as_json=False).line(shown).decode()
        assert line.count("\n") == 1
        assert "\x1b[2J" not in line
        assert "\u202e" not in line


def test_as_json_it_is_the_event_as_it_came() -> None:
    raw = b'{"seq":1,"type":"x.y"}'
    assert View(as_json=True).line(json.loads(raw), raw) == raw + b"\n"
    assert json.loads(View(as_json=True).line({"type": "stream.gap", "runs": ["a"]})) == {
        "type": "stream.gap",
        "runs": ["a"],
    }


def test_gaps_and_resets_are_told_in_words() -> None:
    shown = View(as_json=False)
    assert b"removed are missing here: a, b and others" in shown.line(
        {"type": "stream.gap", "runs": ["a", "b"], "more": True}
    )
    assert b"missing here: nobody knows any more which" in shown.line({"type": "stream.gap", "runs": [], "more": True})
    assert b"begins at its start" in shown.line({"type": "stream.reset"})


# -- filters -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "event", "expected"),
    [
        ({}, {"type": "x"}, True),
        ({"types": ("step.*",)}, {"type": "step.started"}, True),
        ({"types": ("step.*",)}, {"type": "run.started"}, False),
        ({"types": ("step.*", "run.?tarted")}, {"type": "run.started"}, True),
        ({"types": ("run.[!s]*",)}, {"type": "run.started"}, False),
        ({"level": "error"}, {"type": "run.failed"}, True),
        ({"level": "error"}, {"type": "agent.ready"}, False),
        ({"level": "info"}, {"type": "unheard.of"}, True),
        ({"agent": "a"}, {"type": "x", "target": "a"}, True),
        ({"agent": "a"}, {"type": "x", "agent_id": "b"}, False),
        ({"step": "s"}, {"type": "x", "step_id": "s"}, True),
        ({"step": "s"}, {"type": "x"}, False),
        ({"run_id": "r"}, {"type": "x", "run_id": "other"}, False),
    ],
)
def test_what_is_wanted(given: dict[str, Any], event: dict[str, Any], expected: bool) -> None:
    assert Wanted(**given).holds(event) is expected


def test_a_pattern_that_could_backtrack_does_not() -> None:
    assert not Selection(types=("*a" * 40 + "b",)).wants("r", "a" * 200)


@pytest.mark.parametrize("text", ["", "soon", "10", "10 m", "-5m", "2026-01-31", "2026-01-31T12:00:00", "9999999999m"])
def test_a_time_that_is_none_says_what_it_should_be(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be a duration|needs a time zone"):
        moment_of(text)
