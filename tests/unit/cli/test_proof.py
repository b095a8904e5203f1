"""``--require-proof`` tells a run that proved its claims from one that could not try them."""

from __future__ import annotations

from typing import Literal

import pytest

from aitp_playground.cli.conducting import exit_code
from aitp_playground.runs.directory import RunView
from aitp_playground.store.port import RunHeader, RunRow, RunSummary


@pytest.mark.parametrize(
    ("status", "proof", "required", "code"),
    [
        ("success", "proven", True, 0),
        ("success", "unproven", True, 3),
        ("success", "unproven", False, 0),
        ("failed", None, True, 1),
        ("cancelled", None, True, 130),
    ],
)
def test_the_exit_code_says_how_a_run_ended(
    status: Literal["success", "failed", "cancelled"], proof: str | None, required: bool, code: int
) -> None:
    header = RunHeader(run_id="r", scenario_ref="a/b@1", inputs={}, created_at=0.0)
    row = RunRow(header, RunSummary(run_id="r", status=status))
    assert exit_code(RunView(row=row, proof=proof, outputs={}, error=None), require_proof=required) == code
