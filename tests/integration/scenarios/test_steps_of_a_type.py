"""A step that takes what another made names one that makes it: else the file is refused, not the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from aitp_playground.errors import RegistryInvalid
from aitp_playground.scenarios.catalog import Catalog
from aitp_playground.steps import STEP_TYPES
from tests.support.controls import SHIPPED, Control, step, write_controls


@pytest.mark.parametrize(
    ("ref", "taker", "field", "giver", "wanted"),
    [
        ("delegation-chain", "redeem", "via_delegation", "trust_researcher_writer", "delegate"),
        ("session-bundle", "verify", "via_step", "trust", "export_session_bundle"),
    ],
)
async def test_a_step_of_another_type_is_refused_when_the_file_is_read(
    tmp_path: Path, ref: str, taker: str, field: str, giver: str, wanted: str
) -> None:
    control = Control("other", f"intra-org/{ref}@1.0.0", "", lambda file: step(file, taker).update({field: giver}))
    root, refs = write_controls(tmp_path, [control])
    with pytest.raises(RegistryInvalid, match=f"the step '{giver}' is of type .*; {field} takes one of type {wanted}"):
        await Catalog([root, SHIPPED], STEP_TYPES).scenario(refs["other"])
