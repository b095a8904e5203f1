"""The process that judges: nothing that lies about where the service runs has a say in it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from aitp_playground.scenarios.judge import NoVerdict, ask
from aitp_playground.scenarios.patterns import linear_match, linear_search

HOPELESS = {"pattern": r"^(?=a)(a+)+$", "text": "a" * 60 + "!"}


def test_modules_in_the_working_directory_are_not_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("json", "resource", "jsonschema_rs"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    assert ask({"pattern": "^(?=a)a", "text": "a"}) == {"matches": True}


def test_a_signal_that_is_blocked_here_ends_it_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    # The wait for it is so long that only the signal can end it in time for the message that it gives.
    monkeypatch.setattr("aitp_playground.scenarios.judge.WALL_SECONDS", 60.0)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGVTALRM})
    try:
        with pytest.raises(NoVerdict, match=r"within 0\.2 s of CPU"):
            ask(HOPELESS)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_large_pattern_on_a_large_text_is_matched_apart_with_an_end() -> None:
    pattern, text = "((a?b?){40}){20}z", ("ab" * 25 + "x,") * 20_000
    assert linear_match(pattern, "ab") is False
    assert linear_match(pattern, text) is None
    assert linear_match("b+x,$", text) is True
    with pytest.raises(NoVerdict, match=r"within 0\.2 s of CPU"):
        ask({"pattern": pattern, "text": text})


def test_what_is_matched_apart_for_its_size_is_still_matched_as_re2_does() -> None:
    # Python's re takes [[:digit:]] for a class of these letters, and a colon.
    assert linear_search("^[[:digit:]]+$", "12") is True
    assert ask({"pattern": "^[[:digit:]]+$", "text": "12"}) == {"matches": True}
