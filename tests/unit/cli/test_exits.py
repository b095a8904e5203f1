"""What the caller can put right exits 2, everything else 1, and no line gives a secret away."""

from __future__ import annotations

import pytest

from aitp_playground.cli.exits import exit_code_of, explain
from aitp_playground.errors import (
    ConfigurationError,
    InputsInvalid,
    LaunchError,
    Overloaded,
    PlaygroundError,
    RegistryInvalid,
    ScenarioNotFound,
    StoreUnavailable,
    TemplateNotFound,
)
from aitp_playground.observability.redaction import SECRETS


@pytest.mark.parametrize(
    "kind", [ConfigurationError, InputsInvalid, RegistryInvalid, ScenarioNotFound, TemplateNotFound]
)
def test_what_the_caller_can_put_right_exits_2(kind: type[PlaygroundError]) -> None:
    assert exit_code_of(kind("wrong")) == 2


@pytest.mark.parametrize("kind", [LaunchError, Overloaded, StoreUnavailable])
def test_what_the_service_could_not_do_exits_1(kind: type[PlaygroundError]) -> None:
    assert exit_code_of(kind("failed")) == 1


@pytest.mark.parametrize("level", ["", "DEBUG"])
def test_an_explanation_holds_no_secret(
    level: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOG_LEVEL", level)
    SECRETS.add("sk-very-secret")
    try:
        explain(ConfigurationError("the key sk-very-secret\nis wrong"))
    finally:
        SECRETS.remove("sk-very-secret")
    said = capsys.readouterr().err
    assert "sk-very-secret" not in said
    assert said.endswith("Error: the key [redacted] is wrong\n")


def test_a_traceback_is_shown_only_when_debugging(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError) as caught:
        int("odd")
    monkeypatch.setenv("LOG_LEVEL", "info")
    explain(caught.value)
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setenv("LOG_LEVEL", "debug")
    explain(caught.value)
    assert "Traceback" in capsys.readouterr().err
