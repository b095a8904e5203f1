"""Settings from files: keys that no environment, and so no ``docker inspect``, shows."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from aitp_playground import config
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

    settings = Settings.load(host="0.0.0.0")
    settings.refuse_open_door()
    assert settings.api_keys == (b"one", b"two")


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


def test_a_directory_where_a_key_should_be_is_named(secrets: Path) -> None:
    (secrets / "cp_api_key").mkdir()
    with pytest.raises(ConfigurationError, match=r"SECRETS_DIR: .*cp_api_key"):
        Settings.load()


def test_the_directory_of_keys_may_be_below_the_home_directory(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (secrets / "cp_api_key").write_text(KEY)
    monkeypatch.setenv("HOME", str(secrets.parent))
    monkeypatch.setenv("SECRETS_DIR", f"~/{secrets.name}")
    assert Settings.load().cp_api_key.get_secret_value() == KEY


# -- values ------------------------------------------------------------------------------------------------------------

SECRET = "hunter2-hunter2"


def refusal(monkeypatch: pytest.MonkeyPatch, **env: str) -> str:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as refused:
        Settings.load()
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("name", ["CP_BASE_URL", "PLAYGROUND_BASE_URL", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"])
@pytest.mark.parametrize(
    "value",
    [
        f"http://user:{SECRET}@cp.example", f"https://{SECRET}@cp.example/api", f"http://:{SECRET}@h", "http://@h",
        "http://h:0", "http://h:99999", "http://h:-1", "http://h:port", "http://", "http:///path", "//h", "h:80",
        "ftp://h", "http://a b", "http://h/a b", "http://[::1", "http://[zz::1]", "http://h?x=1", "http://h/#x", "http://h?",
        "http://\x01h", "http://h_\u00fc..x", "http://..", f"http://{'a' * 300}",
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_used_or_holds_a_secret_is_refused_by_its_name(
    secrets: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    said = refusal(monkeypatch, **{name: value})
    assert f"{name}: " in said
    assert SECRET not in said


@pytest.mark.parametrize(
    "value", ["http://h", "https://h.example:8443/api/", "http://[::1]:80", "http://127.0.0.1:1/x", " http://h "]
)
def test_a_url_that_can_be_used_is_taken_without_its_last_slash(
    secrets: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("CP_BASE_URL", value)
    assert Settings.load().cp_base_url == value.strip().rstrip("/")


@pytest.mark.parametrize(
    "value", [f"{SECRET} {SECRET}", "schlüssel-schlüssel", f"{SECRET}\t{SECRET}", f"{SECRET}\n{SECRET}", "a\x7f"]
)
def test_a_key_that_no_client_can_present_is_refused(
    secrets: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    said = refusal(monkeypatch, PLAYGROUND_API_KEYS=f"sound-key,{value}")
    assert "PLAYGROUND_API_KEYS: key 2 could never be presented" in said
    assert value not in said


@pytest.mark.parametrize("value", [",", "a,", ",a", "a,,b", "a, ,b"])
def test_an_empty_key_is_refused_and_does_not_open_the_door(
    secrets: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    assert "PLAYGROUND_API_KEYS: key " in refusal(monkeypatch, PLAYGROUND_API_KEYS=value)


@pytest.mark.parametrize("name", ["CP_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"])
@pytest.mark.parametrize("value", [f"{SECRET}\nX-Other: 1", f"{SECRET}ü", f"{SECRET}\x00"])
def test_a_key_that_no_header_can_carry_is_refused(secrets: Path, name: str, value: str) -> None:
    (secrets / name.lower()).write_text(value)
    with pytest.raises(ConfigurationError, match=f"{name}: must be printable ASCII") as refused:
        Settings.load()
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "name",
    [name.upper() for name, field in Settings.model_fields.items() if field.annotation in (int, float)],
)
@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e400", "-1", "1" * 40, "", "soon"])
def test_a_number_without_end_or_sense_is_refused_by_its_name(
    secrets: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    assert f"{name}: " in refusal(monkeypatch, **{name: value})


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_state_directory_is_the_default_and_not_the_working_directory(
    secrets: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("STATE_DIR", value)
    assert Settings.load().state_dir == Path("/home/somebody/.local/state/aitp-playground")


@pytest.mark.parametrize("name", ["STATE_DIR", "RUN_HISTORY_DB", "SCENARIOS_DIR", "SECRETS_DIR"])
def test_a_tilde_is_the_home_directory(secrets: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("HOME", str(secrets))
    (secrets / "x").mkdir()
    monkeypatch.setenv(name, "~/x")
    settings = Settings.load()
    found = settings.scenario_roots[0] if name == "SCENARIOS_DIR" else getattr(settings, name.lower())
    assert str(found) == str(secrets / "x")


@pytest.mark.parametrize("name", ["STATE_DIR", "RUN_HISTORY_DB", "SCENARIOS_DIR", "SECRETS_DIR", "AGENT_PYTHON"])
def test_the_home_of_nobody_known_is_refused_by_the_name_of_the_setting(
    secrets: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert f"{name}: begins with ~" in refusal(monkeypatch, **{name: "~no-such-user-at-all/x"})


@pytest.mark.parametrize("home", [None, "", "relative/home"])
def test_no_home_directory_is_a_matter_of_state_dir(
    secrets: Path, monkeypatch: pytest.MonkeyPatch, home: str | None
) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _: {}["no entry"])
    if home is not None:
        monkeypatch.setenv("HOME", home)
    with pytest.raises(ConfigurationError, match="STATE_DIR: is not set, and this user has no home directory"):
        Settings.load()
    assert Settings.load(state_dir=secrets).state_dir == secrets
    monkeypatch.setenv("STATE_DIR", str(secrets))
    assert Settings.load().state_dir == secrets


def test_an_interpreter_that_is_not_there_is_refused_at_start(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "AGENT_PYTHON: names no program" in refusal(monkeypatch, AGENT_PYTHON="/no/such/python")


# -- what goes together ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "example.org", "[::]"])
def test_only_who_serves_needs_keys_for_an_address_that_others_reach(secrets: Path, host: str) -> None:
    settings = Settings.load(host=host)
    with pytest.raises(ConfigurationError, match="PLAYGROUND_API_KEYS"):
        settings.refuse_open_door()
    Settings.load(host=host, playground_api_keys="k").refuse_open_door()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback_needs_no_key(secrets: Path, host: str) -> None:
    Settings.load(host=host).refuse_open_door()


@pytest.mark.parametrize("host", ["http://x", "a b", "x:80", "a/b", "\x1b[2J"])
def test_a_host_that_is_none_is_refused(secrets: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    assert "HOST: must be a host name" in refusal(monkeypatch, HOST=host)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_provider_without_its_key_is_named_before_a_run_begins(secrets: Path, provider: str) -> None:
    settings = Settings.load(llm_provider=provider)
    with pytest.raises(ConfigurationError, match=f"{provider.upper()}_API_KEY is empty"):
        settings.refuse_missing_model_key()
    (secrets / f"{provider}_api_key").write_text("sk-1")
    Settings.load(llm_provider=provider).refuse_missing_model_key()


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_another_server_that_speaks_like_a_provider_may_need_no_key(secrets: Path, provider: str) -> None:
    Settings.load(
        llm_provider=provider, **{f"{provider}_base_url": "http://localhost:11434/v1"}
    ).refuse_missing_model_key()
    own = Settings.load(llm_provider=provider, **{f"{provider}_base_url": f"https://api.{provider}.com/v1"})
    with pytest.raises(ConfigurationError, match=f"{provider.upper()}_API_KEY is empty"):
        own.refuse_missing_model_key()


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_package_that_is_missing_is_told_with_what_to_install(
    secrets: Path, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(config, "find_spec", asked.append)
    assert Settings.load().missing_model_package is None
    missing = Settings.load(llm_provider=provider).missing_model_package
    assert missing is not None
    assert f"package {provider} is not installed" in missing
    assert "pip install 'aitp-playground[llm]'" in missing
    assert Settings.load(llm_provider=provider, agent_python=sys.executable).missing_model_package is None
    assert asked == [provider]


def test_what_is_shown_of_the_settings_holds_no_secret(secrets: Path) -> None:
    keys = {f"{name}_api_key": f"{SECRET}-{name}" for name in ("cp", "openai", "anthropic")}
    shown = Settings.load(**keys, playground_api_keys=f"{SECRET}-1,{SECRET}-2").shown()
    assert shown.keys() == {name.upper() for name in Settings.model_fields}
    assert SECRET not in repr(shown)
    assert (shown["CP_API_KEY"], shown["PLAYGROUND_API_KEYS"], shown["PORT"]) == ("set", "2 set", 8000)
    assert Settings.load().shown()["CP_API_KEY"] == ""


# -- every setting is read ---------------------------------------------------------------------------------------------


def test_no_setting_is_there_for_nothing() -> None:
    source = Path(config.__file__).parent
    own, elsewhere = Path(config.__file__), [file for file in source.rglob("*.py") if file != Path(config.__file__)]
    read = {name for file in elsewhere for name in attributes(file)}
    # A property or method of the settings that somebody uses reads on their behalf; so do the sources of the settings.
    tree = ast.parse(own.read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    used = [node for node in functions if node.name in read - {"shown"} or node.name == "__call__"]
    read |= {inner.attr for node in used for inner in ast.walk(node) if isinstance(inner, ast.Attribute)}
    read |= {inner.value for node in used for inner in ast.walk(node) if isinstance(inner, ast.Constant)}
    assert not Settings.model_fields.keys() - read


def attributes(file: Path) -> set[str]:
    return {node.attr for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Attribute)}


def test_soft_fail_without_safe_capabilities_names_what_it_used_to_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    for safe in ("", "  "):
        said = refusal(monkeypatch, REVOCATION_FAIL_MODE="soft_fail", REVOCATION_SAFE_CAPS=safe)
        assert said.startswith("wrong setting: REVOCATION_SAFE_CAPS")
        assert "fail_open" in said
    monkeypatch.delenv("REVOCATION_SAFE_CAPS")
    assert "fail_open" in refusal(monkeypatch, REVOCATION_FAIL_MODE="soft_fail")
    assert "REVOCATION_SAFE_CAPS: has an empty name" in refusal(monkeypatch, REVOCATION_SAFE_CAPS="a,,b")
    monkeypatch.setenv("REVOCATION_SAFE_CAPS", "research.query, write.content,research.query")
    settings = Settings.load()
    assert (settings.revocation_fail_mode, settings.revocation_safe_caps) == (
        "soft_fail",
        ("research.query", "write.content"),
    )


def test_what_goes_on_without_a_list_unless_set(secrets: Path) -> None:
    assert secrets.is_dir()
    settings = Settings.load()
    assert (settings.revocation_fail_mode, settings.issuer_list_fail_mode) == ("fail_open", "fail_closed")


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("SCENARIO_DIR=packs", "SCENARIOS_DIR"),
        ("REVOCATION_FAILMODE=fail_closed", "REVOCATION_FAIL_MODE"),
        ("playground_api_key=secret-in-the-file", "PLAYGROUND_API_KEYS"),
    ],
)
def test_a_name_in_the_dotenv_file_that_is_nearly_a_settings_is_refused(secrets: Path, line: str, meant: str) -> None:
    assert secrets.is_dir()
    Path(".env").write_text(f"LOG_LEVEL=INFO\n{line}\n")

    with pytest.raises(ConfigurationError, match=f"{line.partition('=')[0].upper()}.*did you mean {meant}") as refused:
        Settings.load()
    assert "secret-in-the-file" not in refused.value.message


def test_what_other_programs_have_in_the_dotenv_file_is_passed_over(secrets: Path) -> None:
    assert secrets.is_dir()
    Path(".env").write_text("AITP_PLAYGROUND_API_KEY=x\nCOMPOSE_PROJECT_NAME=y\nNO_COLOR=1\nPORT=8123\nTOKEN\n")

    assert Settings.load().port == 8123


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("PORT", "80x", "PORT: must be a whole number"),
        ("PORT", "70000", "PORT: must be less than or equal to 65535"),
        ("RUN_TIMEOUT_SECS", "soon", "RUN_TIMEOUT_SECS: must be a number"),
        ("LLM_PROVIDER", "opnai", "LLM_PROVIDER: must be 'none', 'openai' or 'anthropic'"),
    ],
)
def test_a_wrong_value_is_told_in_words_for_who_set_it(
    secrets: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    assert secrets.is_dir()
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigurationError) as refused:
        Settings.load()
    assert refused.value.message == f"wrong setting: {told}"
