"""A path is checked as part of the scenarios directory it lies in."""

from __future__ import annotations

from pathlib import Path

import pytest

from aitp_playground.cli.scenario_files.paths import places
from aitp_playground.errors import InvalidRequest
from aitp_playground.scenarios.findings import Finding


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pack/one/1.0.0/templates").mkdir(parents=True)
    (tmp_path / "pack/pack.yaml").touch()
    (tmp_path / "pack/one/1.0.0/scenario.yaml").touch()
    (tmp_path / "pack/one/1.0.0/templates/other.yaml").touch()
    return tmp_path


@pytest.mark.parametrize(
    "inner", ["pack", "pack/pack.yaml", "pack/one", "pack/one/1.0.0/scenario.yaml", "pack/one/1.0.0/templates"]
)
def test_the_root_is_found_from_anywhere_below_it(root: Path, inner: str) -> None:
    (place,) = places([root / inner])
    assert (place.root, place.inner) == (root.resolve(), inner)


def test_the_root_itself_is_all_of_it(root: Path) -> None:
    (place,) = places([root])
    assert place.covers(Finding("anything/pack.yaml", 1, "", "x"))


def test_a_path_covers_what_is_below_it_and_not_its_namesakes(root: Path) -> None:
    (place,) = places([root / "pack"])
    assert place.covers(Finding("pack/one/1.0.0/scenario.yaml", 1, "", "x"))
    assert not place.covers(Finding("pack-two/one/1.0.0/scenario.yaml", 1, "", "x"))


@pytest.mark.parametrize("inner", ["", "pack", "pack/one", "pack/one/1.0.0", "pack/one/1.0.0/scenario.yaml"])
def test_a_scenario_is_placed_by_its_depth_when_no_pack_has_a_file(root: Path, inner: str) -> None:
    (root / "pack/pack.yaml").unlink()
    (place,) = places([root / inner])
    assert place.root == root.resolve()


def test_a_path_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").touch()
    with pytest.raises(InvalidRequest, match="in no scenarios directory"):
        places([tmp_path])
