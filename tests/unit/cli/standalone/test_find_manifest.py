"""Which manifest ``agent`` means."""

from __future__ import annotations

from pathlib import Path

import pytest

from aitp_playground.cli.standalone.agent import find_manifest
from aitp_playground.config import Settings
from aitp_playground.errors import AgentManifestNotFound


@pytest.mark.parametrize("name", ["analyser", "_shared/agents/analyser"])
def test_a_misspelt_manifest_is_answered_with_the_nearest(tmp_path: Path, name: str) -> None:
    with pytest.raises(AgentManifestNotFound, match="did you mean 'analyzer'"):
        find_manifest(name, Settings(state_dir=tmp_path))


def test_a_manifest_is_found_by_its_name(tmp_path: Path) -> None:
    manifest, _ = find_manifest("analyzer", Settings(state_dir=tmp_path))
    assert manifest.metadata.id == "analyzer"
