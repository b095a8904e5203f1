"""REVOCATION_FAIL_MODE without a Control Plane: open, closed, or open for what is safe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aitp_playground.service import playground
from tests.support.playground import run, settings_at


@pytest.mark.parametrize(
    ("mode", "safe", "served"),
    [
        ("fail_open", (), True),
        ("soft_fail", ("write.content",), True),
        ("soft_fail", ("research.query",), False),
        ("fail_closed", ("write.content",), False),
    ],
)
async def test_without_a_control_plane_a_call_is_served_as_the_fail_mode_says(
    tmp_path: Path, mode: Any, safe: Any, served: bool
) -> None:
    async with playground(settings_at(tmp_path, revocation_fail_mode=mode, revocation_safe_caps=safe)) as running:
        outcome = await run(running, "intra-org/trust-gate@1.0.0")
    refused = [event.payload["code"] for event in outcome.of("capability.denied")]
    calls = [event for event in outcome.of("capability.invoked") if event.get("aid")]
    if served:
        assert (outcome.types[-1], refused) == ("run.complete", ["tct_missing"])
        assert calls
    else:
        assert (outcome.types[-1], refused) == ("run.failed", ["tct_missing", "revocation_unknown"])
        assert not calls
