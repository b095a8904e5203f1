"""What ``deploy/`` and the documentation say about settings, paths and ports is what the code has."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from aitp_playground.api import health
from aitp_playground.config import Settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SETTINGS = {name.upper() for name in Settings.model_fields}
SECRETS = {"CP_API_KEY", "PLAYGROUND_API_KEYS", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"}
#: Variables of the tools around the playground, not of the playground.
OTHERS = {"PATH", "PYTHONDONTWRITEBYTECODE"}
COMPOSE = ("compose.yaml", "compose.control-plane.yaml", "compose.prometheus.yaml")


def compose(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return document


def services() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name in COMPOSE:
        for service, content in compose(name)["services"].items():
            yield name, service, content


def dockerfile() -> list[tuple[str, str]]:
    """Instructions with their arguments, continuation lines joined, comments left out."""
    lines = [line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def final_stage() -> list[tuple[str, str]]:
    instructions = dockerfile()
    begin = max(index for index, (word, _) in enumerate(instructions) if word == "FROM")
    return instructions[begin:]


def image_environment() -> dict[str, str]:
    pairs = [rest for word, rest in final_stage() if word == "ENV"]
    return dict(pair.split("=", 1) for rest in pairs for pair in rest.split())


def unit(key: str) -> list[str]:
    lines = (DEPLOY / "aitp-playground.service").read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


# -- the image ---------------------------------------------------------------------------------------------------------


def test_everything_the_image_is_built_from_exists_and_reaches_the_builder() -> None:
    copied = [
        path for word, rest in dockerfile() if word == "COPY" and "--from" not in rest for path in rest.split()[:-1]
    ]
    let_in = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}

    assert all((ROOT / path).exists() for path in copied)
    assert set(copied) == let_in


def test_the_image_holds_only_packages_whose_hashes_were_checked() -> None:
    steps = [step for word, rest in dockerfile() if word == "RUN" for step in rest.split("&&") if "pip" in step]
    fetching = [step for step in steps if re.search(r"\bpip\b.* (install|download|wheel)\b", step)]

    assert fetching
    assert all(re.search(r"--require-hashes|--no-index|--no-deps --no-build-isolation", step) for step in fetching)


@pytest.mark.parametrize(
    ("extra", "lock"),
    [("", "requirements.lock"), ("llm", "requirements-llm.lock"), ("otel", "requirements-otel.lock")],
)
def test_the_image_with_an_extra_is_built_from_the_lock_of_the_extra(extra: str, lock: str) -> None:
    (download,) = [rest for word, rest in dockerfile() if word == "RUN" and "pip download" in rest]
    (install,) = [rest for word, rest in dockerfile() if word == "RUN" and "pip --python" in rest]
    arguments = [shlex.split(line.partition("&&")[0] or line)[-1] for line in (download, install.partition("&&")[2])]
    expanded = [
        subprocess.run(["sh", "-c", f'echo "{text}"'], env={"EXTRA": extra}, capture_output=True, text=True, check=True)
        for text in arguments
    ]
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert [done.stdout.strip() for done in expanded] == [lock, "aitp-playground" + (f"[{extra}]" if extra else "")]
    assert (ROOT / lock).is_file()
    assert extra in {"", *known}
    assert ("ARG", 'EXTRA=""') in dockerfile()


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"(?m)^([a-z0-9-]+)==([^ ;]+)", (ROOT / lock).read_text()))


@pytest.mark.parametrize("name", ["llm", "otel"])
def test_the_locks_agree_and_only_those_of_the_extra_hold_its_packages(name: str) -> None:
    plain, extra, dev = (pins(f"requirements{suffix}.lock") for suffix in ("", f"-{name}", "-dev"))
    assert plain.items() <= extra.items() <= dev.items()
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][name]
    names = {re.split(r"[<>=]", requirement)[0] for requirement in asked}
    assert names <= extra.keys() - plain.keys()
    for lock in ROOT.glob("requirements*.lock"):
        assert "://" not in lock.read_text(), "a lock names no host"


def test_the_image_runs_as_a_user_of_its_own_who_owns_the_state_alone() -> None:
    stage = final_stage()
    user = next(rest for word, rest in stage if word == "USER")
    state = image_environment()["STATE_DIR"]

    assert user == "10001:10001"
    assert any(f"install -d -m 0700 -o 10001 -g 10001 {state}" in rest for word, rest in stage if word == "RUN")
    assert ("VOLUME", state) in stage


def test_the_image_names_settings_that_exist_with_values_they_take(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment = image_environment()
    monkeypatch.chdir(tmp_path)  # no .env there
    for name, value in environment.items():
        if name in SETTINGS:
            monkeypatch.setenv(name, value)

    settings = Settings.load(playground_api_keys="k")

    assert environment.keys() <= SETTINGS | OTHERS
    assert ("EXPOSE", str(settings.port)) in final_stage()


def test_the_image_starts_the_command_that_the_project_installs_and_asks_a_route_that_exists() -> None:
    stage = dict(final_stage())
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]

    assert json.loads(stage["ENTRYPOINT"]) == list(scripts)
    assert "/healthz" in {route.path for route in health.ROUTES}
    assert "/healthz" in stage["HEALTHCHECK"]


# -- compose -----------------------------------------------------------------------------------------------------------


def test_compose_publishes_on_loopback_only() -> None:
    published = [port for _, _, service in services() for port in service.get("ports", [])]

    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_compose_gives_the_service_no_more_than_it_needs() -> None:
    service = compose("compose.yaml")["services"]["aitp-playground"]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert image_environment()["STATE_DIR"] in {mount.split(":")[1] for mount in service["volumes"]}


def test_compose_names_settings_that_exist_and_hands_keys_over_as_files() -> None:
    for name, service, content in services():
        if service == "aitp-playground":
            assert content.get("environment", {}).keys() <= SETTINGS - SECRETS, name
            assert {secret.upper() for secret in content.get("secrets", [])} <= SECRETS, name
    assert compose("compose.yaml")["services"]["aitp-playground"]["environment"]["SECRETS_DIR"] == "/run/secrets"


def test_compose_declares_what_its_services_refer_to() -> None:
    kinds = ("secrets", "volumes", "configs")
    declared = {kind: {n for name in COMPOSE for n in compose(name).get(kind, {})} for kind in kinds}
    known = {service for _, service, _ in services()}

    for name, service, content in services():
        named = {mount.split(":")[0] for mount in content.get("volumes", [])}
        assert set(content.get("secrets", [])) <= declared["secrets"], (name, service)
        assert named <= declared["volumes"], (name, service)
        assert {config["source"] for config in content.get("configs", [])} <= declared["configs"], (name, service)
        assert content.get("depends_on", {}).keys() <= known, (name, service)
        assert content.get("network_mode", "service:aitp-playground").removeprefix("service:") in known


def test_compose_lets_running_runs_end_before_it_kills() -> None:
    period = compose("compose.yaml")["services"]["aitp-playground"]["stop_grace_period"]

    assert int(period.removesuffix("s")) > Settings.model_fields["shutdown_grace_secs"].default


def test_the_prometheus_beside_it_finds_its_files_its_key_and_the_playground() -> None:
    document = compose("compose.prometheus.yaml")
    service = document["services"]["prometheus"]
    placed = {mount["target"]: document["configs"][mount["source"]]["file"] for mount in service["configs"]}
    [main] = [option.partition("=")[2] for option in service["command"] if option.startswith("--config.file=")]
    configuration = yaml.safe_load((DEPLOY / placed[main]).read_text())
    [scraped] = configuration["scrape_configs"]

    for name in configuration["rule_files"]:
        beside = placed[str(Path(main).parent / name)]
        assert (DEPLOY / beside).resolve() == (DEPLOY / placed[main]).parent.resolve() / name
    assert scraped["authorization"]["credentials_file"] in {f"/run/secrets/{name}" for name in service["secrets"]}
    assert service["network_mode"] == "service:aitp-playground"
    assert scraped["static_configs"] == [{"targets": [f"127.0.0.1:{image_environment()['PORT']}"]}]
    assert any(f"={mount.partition(':')[2]}" in " ".join(service["command"]) for mount in service["volumes"])


# -- systemd -----------------------------------------------------------------------------------------------------------


def test_the_unit_names_settings_that_exist() -> None:
    names = {pair.partition("=")[0] for line in unit("Environment") for pair in line.split()}

    assert names
    assert names <= SETTINGS - SECRETS


def test_the_unit_keeps_the_state_in_its_own_directory_private() -> None:
    directory = unit("StateDirectory")[0]

    assert unit("StateDirectoryMode") == ["0700"]
    assert any(f"STATE_DIR=%S/{directory}" in line for line in unit("Environment"))


def test_the_unit_leaves_the_fork_server_what_it_works_with() -> None:
    families = set(unit("RestrictAddressFamilies")[0].split())

    assert {"AF_UNIX", "AF_INET"} <= families
    assert not unit("PrivateNetwork")
    assert unit("KillMode") == ["mixed"]
    assert int(unit("TimeoutStopSec")[0]) > Settings.model_fields["shutdown_grace_secs"].default


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "aitp-playground.service").read_text()
    copy = tmp_path / "aitp-playground.service"
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))

    found = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, timeout=300)

    assert "aitp-playground.service" not in found.stderr, found.stderr


# -- names and defaults ------------------------------------------------------------------------------------------------


def test_the_example_shows_every_setting_with_its_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown = dict(re.findall(r"^#([A-Z_]+)=(.*)$", (DEPLOY / "env.example").read_text(), re.MULTILINE))
    example = tmp_path / ".env"
    example.write_text("".join(f"{name}={value}\n" for name, value in shown.items() if value))
    empty = {name for name, value in shown.items() if not value}
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)

    assert shown.keys() == SETTINGS
    assert Settings(_env_file=example) == Settings(_env_file=None)
    defaults = {name.upper(): field.get_default() for name, field in Settings.model_fields.items()}
    assert not {name for name in empty if defaults[name]}


def test_the_directory_of_keys_is_ignored_by_git() -> None:
    assert "deploy/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
