"""``--require-proof`` tells a run that proved its claims from one that could not try them."""

from __future__ import annotations

import pytest

from aitp_playground.cli.running.result import exit_code


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
def test_the_exit_code_says_how_a_run_ended(status: str, proof: str | None, required: bool, code: int) -> None:
    assert exit_code(status, proof, require_proof=required) == code
