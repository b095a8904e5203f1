"""A run in which a peer's own revocation list cannot be had: refused, or gone on with and unproven."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.controls import Control, with_agent, write_controls
from tests.support.playground import playground_at, run

GATE = "intra-org/trust-gate@1.0.0"


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    edited = [Control(name, GATE, "", with_agent("writer", name)) for name in ("unlisted-writer", "listless-writer")]
    return write_controls(tmp_path_factory.mktemp("lists"), edited)


@pytest.mark.parametrize(
    ("writer", "mode", "because"),
    [
        ("unlisted-writer", "fail_closed", "caller took a token of writer, which advertises no revocation list"),
        ("unlisted-writer", "fail_open", "caller took a token of writer, which advertises no revocation list"),
        ("listless-writer", "fail_open", "caller took a token of writer without its revocation list: http_5xx"),
    ],
)
async def test_run_that_went_on_without_the_list_of_a_peer_is_unproven(
    tmp_path: Path, scenarios: tuple[Path, dict[str, str]], writer: str, mode: Any, because: str
) -> None:
    root, refs = scenarios
    async with playground_at(tmp_path, scenarios_dir=str(root), issuer_list_fail_mode=mode) as running:
        outcome = await run(running, refs[writer])
    assert (outcome.status, outcome.view.proof) == ("success", "unproven"), outcome.view.error
    assert outcome.view.unproven_because == [because]


async def test_run_fails_when_the_list_that_a_peer_advertises_cannot_be_had(
    tmp_path: Path, scenarios: tuple[Path, dict[str, str]]
) -> None:
    root, refs = scenarios
    async with playground_at(tmp_path, scenarios_dir=str(root)) as running:
        outcome = await run(running, refs["listless-writer"])
    assert outcome.status == "failed"
    [failed] = outcome.of("handshake.failed")
    assert failed.payload["code"] == "revocation_unknown"
    [told] = outcome.of("revocation.refresh_failed")
    assert (told.get("cause"), told.payload["peer"], told.payload["fail_mode"]) == ("http_5xx", "writer", "fail_closed")


async def test_run_in_which_every_list_was_there_is_proven_and_tells_of_each_once(tmp_path: Path) -> None:
    async with playground_at(tmp_path) as running:
        outcome = await run(running, GATE)
    assert outcome.view.proof == "proven"
    told = sorted((event.get("agent_id"), event.payload["peer"]) for event in outcome.of("revocation.list_fetched"))
    assert told == [("caller", "writer"), ("writer", "caller")]
