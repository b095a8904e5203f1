"""What a step will check, said before it runs."""

from __future__ import annotations

from typing import Any

import pytest

from aitp_playground.cli.terminal.steps import expectation_text
from aitp_playground.scenarios.expectations import Expectation


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ({"path": "$.rejected", "equals": True}, "$.rejected equals true"),
        ({"path": "$.note", "equals": None}, "$.note equals null"),
        ({"path": "$.grants", "equals": ["a", "b"]}, '$.grants equals ["a", "b"]'),
        ({"path": "$.code", "equals": "tct_missing"}, "$.code equals tct_missing"),
        ({"event": "tct.revoked", "where": {"local": False}, "max": 0}, "event tct.revoked (local false), max 0"),
    ],
)
def test_values_are_shown_as_a_scenario_writes_them(written: dict[str, Any], told: str) -> None:
    assert expectation_text(Expectation.model_validate(written)) == told
