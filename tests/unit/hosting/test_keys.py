"""Keys and the secret they come from."""

from __future__ import annotations

import multiprocessing
import os
import stat
from pathlib import Path
from typing import Literal

import aitp
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from aitp_playground.errors import ConfigurationError
from aitp_playground.hosting import keys
from aitp_playground.hosting.keys import derive_seed, installation_secret

SECRET = bytes(range(32))
PARTS = st.tuples(
    st.sampled_from(["internal", "external"]), st.text(max_size=8), st.text(max_size=8), st.integers(0, 99)
)


def test_a_seed_is_the_same_every_time_and_for_every_version() -> None:
    seed = derive_seed(SECRET, "internal", "run-1", "writer", 0)
    parts = (b"aitp-playground agent seed v1", b"internal", b"run-1", b"writer", b"0")
    info = b"".join(len(part).to_bytes(4, "big") + part for part in parts) + bytes(4)
    assert seed == HKDF(SHA256(), 32, salt=None, info=info).derive(SECRET)


@given(PARTS, PARTS)
def test_different_parts_give_different_seeds(one: tuple[str, str, str, int], other: tuple[str, str, str, int]) -> None:
    assert (derive_seed(SECRET, *one) == derive_seed(SECRET, *other)) == (one == other)  # type: ignore[arg-type]


def test_the_secret_decides() -> None:
    assert derive_seed(SECRET, "internal", "r", "a", 0) != derive_seed(bytes(32), "internal", "r", "a", 0)


def test_moving_a_letter_between_run_and_agent_changes_the_seed() -> None:
    assert derive_seed(SECRET, "internal", "ab", "c", 0) != derive_seed(SECRET, "internal", "a", "bc", 0)


@pytest.mark.parametrize("suite", ["ed25519", "p256"])
def test_the_sdk_takes_the_seed(suite: Literal["ed25519", "p256"]) -> None:
    seed = derive_seed(SECRET, "external", "r", "a", 3)
    assert aitp.AitpAgent.from_seed(seed, suite).aid == aitp.AitpAgent.from_seed(seed, suite).aid


def test_an_output_that_is_no_p256_scalar_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    first = int.from_bytes(derive_seed(SECRET, "internal", "r", "a", 0), "big")
    monkeypatch.setattr(keys, "_P256_ORDER", first)
    following = derive_seed(SECRET, "internal", "r", "a", 0)
    assert 0 < int.from_bytes(following, "big") < first
    assert following == derive_seed(SECRET, "internal", "r", "a", 0)


def test_the_secret_is_made_once_private_and_whole(tmp_path: Path) -> None:
    state = tmp_path / "state" / "deeper"
    secret = installation_secret(state)
    assert len(secret) == 32
    assert installation_secret(state) == secret
    assert [file.name for file in state.iterdir()] == ["identity.secret"]
    assert stat.S_IMODE((state / "identity.secret").stat().st_mode) == 0o600


def _make(state: Path, start: object, found: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    found.put(installation_secret(state))  # type: ignore[attr-defined]


def test_processes_that_make_it_at_once_agree(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, found = context.Barrier(4), context.Queue()
    processes = [context.Process(target=_make, args=(tmp_path / "state", start, found)) for _ in range(4)]
    for process in processes:
        process.start()
    secrets = {found.get(timeout=300) for _ in processes}
    for process in processes:
        process.join(60)
    assert len(secrets) == 1
    found.close()
    found.join_thread()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    installation_secret(tmp_path)
    (tmp_path / "identity.secret").chmod(mode)
    with pytest.raises(ConfigurationError, match=f"mode {mode:03o}"):
        installation_secret(tmp_path)


def test_a_damaged_secret_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "identity.secret"
    file.touch(mode=0o600)
    with pytest.raises(ConfigurationError, match="damaged"):
        installation_secret(tmp_path)
    assert file.read_bytes() == b""


def test_a_secret_that_is_a_link_or_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(bytes(32))
    (tmp_path / "identity.secret").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="STATE_DIR"):
        installation_secret(tmp_path)
    (tmp_path / "identity.secret").unlink()
    os.mkfifo(tmp_path / "identity.secret", 0o600)
    with pytest.raises(ConfigurationError, match="not a regular file"):
        installation_secret(tmp_path)


def test_a_state_directory_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="STATE_DIR"):
        installation_secret(tmp_path / "file" / "state")
