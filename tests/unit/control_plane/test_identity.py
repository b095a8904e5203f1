"""Seeds: where identities come from and where they stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from aitp_playground.control_plane.trust.identity import Identity, SeedInvalid, load_seed


def test_a_seed_is_one_identity_for_good_and_another_seed_another() -> None:
    seed = bytes(range(32))
    assert Identity(seed).aid == Identity(seed).aid != Identity(bytes(32)).aid
    assert Identity(seed).token_mac(b"x") == Identity(seed).token_mac(b"x") != Identity(bytes(32)).token_mac(b"x")


@pytest.mark.parametrize("content", [bytes(range(32)), bytes(range(32)).hex().encode() + b"\n"], ids=["raw", "hex"])
def test_a_seed_file_is_raw_or_hex(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "seed").write_bytes(content)
    assert load_seed(tmp_path / "seed") == bytes(range(32))
    assert (tmp_path / "seed").read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"zz" * 32, b"ab" * 31, "é".encode() * 20])
def test_a_file_without_a_seed_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "seed").write_bytes(content)
    with pytest.raises(SeedInvalid, match="seed must hold"):
        load_seed(tmp_path / "seed")


def test_a_missing_seed_is_made_once_and_leaves_nothing_else_behind(tmp_path: Path) -> None:
    assert load_seed(tmp_path / "seed") == load_seed(tmp_path / "seed")
    assert [path.name for path in tmp_path.iterdir()] == ["seed"]
    assert (tmp_path / "seed").stat().st_mode & 0o777 == 0o600


def test_without_a_file_every_seed_is_new() -> None:
    assert load_seed(None) != load_seed(None)
