"""Settings from files: keys that no environment, and so no ``docker inspect``, shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from aitp_playground.config import Settings
from aitp_playground.errors import ConfigurationError

KEY = "a-key-from-a-file"


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory that ``SECRETS_DIR`` names; the working directory has no ``.env``."""
    directory = tmp_path / "secrets"
    directory.mkdir()
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("SECRETS_DIR", str(directory))
    return directory


def test_a_key_is_read_from_the_file_of_its_name_without_the_final_newline(secrets: Path) -> None:
    (secrets / "cp_api_key").write_text(f"{KEY}\n")

    assert Settings.load().cp_api_key.get_secret_value() == KEY


def test_a_file_may_be_spelt_like_the_variable(secrets: Path) -> None:
    (secrets / "CP_API_KEY").write_text(KEY)

    assert Settings.load().cp_api_key.get_secret_value() == KEY


def test_a_file_may_hold_several_keys_and_opens_the_door_to_other_addresses(secrets: Path) -> None:
    (secrets / "playground_api_keys").write_text("one, two\n")

    assert Settings.load(host="0.0.0.0").api_keys == (b"one", b"two")


def test_the_environment_wins_over_a_file(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (secrets / "cp_api_key").write_text("from the file")
    monkeypatch.setenv("CP_API_KEY", "from-the-environment")

    assert Settings.load().cp_api_key.get_secret_value() == "from-the-environment"


def test_the_directory_may_be_named_in_the_dotenv_file(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (secrets / "cp_api_key").write_text(KEY)
    monkeypatch.delenv("SECRETS_DIR")
    Path(".env").write_text(f"SECRETS_DIR={secrets}\n")

    assert Settings.load().cp_api_key.get_secret_value() == KEY


def test_a_directory_that_is_none_refuses_to_start_and_names_the_variable(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRETS_DIR", str(secrets / "missing"))

    with pytest.raises(ConfigurationError, match=r"SECRETS_DIR: .*must be a directory"):
        Settings.load()


def test_a_wrong_value_in_a_file_is_refused_without_being_quoted(secrets: Path) -> None:
    (secrets / "cp_base_url").write_text(f"ftp://user:{KEY}@cp.example")

    with pytest.raises(ConfigurationError, match="CP_BASE_URL") as refusal:
        Settings.load()

    assert KEY not in str(refusal.value)


def test_an_unreadable_file_refuses_to_start_and_names_the_file(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (secrets / "cp_api_key").write_text(KEY)
    read_text = Path.read_text

    def refused(path: Path, *args: str, **kwargs: str) -> str:
        if path.parent == secrets:  # a mode would not stop root, as whom some run their tests
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", refused)

    with pytest.raises(ConfigurationError, match=r"cp_api_key .*cannot be read by this user: Permission denied"):
        Settings.load()


def test_a_file_that_is_no_text_refuses_to_start(secrets: Path) -> None:
    (secrets / "cp_api_key").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigurationError, match="not UTF-8"):
        Settings.load()
