"""REVOCATION_FAIL_MODE=fail_closed without a Control Plane: closed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aitp_playground.service import playground
from tests.support.playground import run, settings_at


@pytest.mark.parametrize("mode", ["fail_closed", "soft_fail"])
async def test_without_a_control_plane_every_call_is_refused_under_fail_closed(tmp_path: Path, mode: Any) -> None:
    async with playground(settings_at(tmp_path, revocation_fail_mode=mode)) as running:
        outcome = await run(running, "intra-org/trust-gate@1.0.0")
    refused = [event.payload["code"] for event in outcome.of("capability.denied")]
    calls = [event for event in outcome.of("capability.invoked") if event.get("aid")]
    if mode == "soft_fail":
        assert (outcome.types[-1], refused) == ("run.complete", ["tct_missing"])
        assert calls
    else:
        assert (outcome.types[-1], refused) == ("run.failed", ["tct_missing", "revocation_unknown"])
        assert not calls
