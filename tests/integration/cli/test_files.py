"""The commands that only read or make files: list, show, dry-run, validate, lint, new."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import threading
from functools import partial

import aitp
import pytest

from aitp_playground.cli.group import COMMANDS

from .shell import Shell

REF = "intra-org/research-and-write@1.0.0"


def test_a_new_scenario_validates_lints_clean_and_runs_green(shell: Shell) -> None:
    made = shell("new", "mine/first-contact")
    assert made.returncode == 0
    for command in (["validate"], ["validate", "scenarios/mine"], ["lint", "--strict", "scenarios"]):
        done = shell(*command)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
    document = shell.document("run", "mine/first-contact@1.0.0", "--require-proof", "--json")
    assert document["status"] == "success"
    assert document["outputs"]["stranger"]["status_code"] == 403


def test_a_new_scenario_elsewhere_says_how_it_is_found(shell: Shell) -> None:
    made = shell("new", "mine/first", "--dir", "elsewhere")
    (setting,) = [word for word in made.stdout.split() if word.startswith("SCENARIOS_DIR=")]
    name, _, value = setting.partition("=")
    assert "mine/first@1.0.0" in shell("list", env={name: value}).stdout


def test_new_overwrites_nothing(shell: Shell) -> None:
    shell("new", "mine/first")
    file = shell.scenarios / "mine/first/1.0.0/scenario.yaml"
    pack, manifest = shell.scenarios / "mine/pack.yaml", shell.scenarios / "_shared/agents/writer.yaml"
    kept = {path: path.read_text() + "# mine\n" for path in (file, pack, manifest)}
    for path, text in kept.items():
        path.write_text(text)
    assert shell("new", "mine/first").returncode == 2
    assert shell("new", "mine/second").returncode == 0
    assert {path: path.read_text() for path in kept} == kept


@pytest.mark.parametrize("name", ["mine", "../x", "mine/../x", "Mine/first", "_mine/first", "a/b/c", "/etc/x"])
def test_new_takes_only_names_that_can_be_a_ref(shell: Shell, name: str) -> None:
    done = shell("new", name)
    assert done.returncode == 2
    assert not shell.scenarios.exists()


def test_list_names_broken_files_on_stderr_and_hides_nothing_else(shell: Shell) -> None:
    shell.write_scenario("broken", capability="research.qury")
    listed = shell("list")
    assert listed.returncode == 0
    assert REF in listed.stdout
    assert "templates: revoking, trust-strict" in listed.stdout
    assert "local/broken/1.0.0/scenario.yaml:" in listed.stderr
    assert "did you mean 'research.query'" in listed.stderr


@pytest.mark.parametrize("command", ["list", "validate", "lint"])
def test_a_scenarios_directory_that_is_not_there_is_named(shell: Shell, command: str) -> None:
    done = shell(command, env={"SCENARIOS_DIR": "misspelt"})
    assert "SCENARIOS_DIR names misspelt, which is no directory" in done.stderr


def test_list_as_json_holds_refs_templates_and_errors(shell: Shell) -> None:
    shell.write_scenario("broken", capability="research.qury")
    document = shell.document("list", "--json")
    entry = next(entry for entry in document["scenarios"] if entry["ref"] == REF)
    assert [template["name"] for template in entry["templates"]] == ["revoking", "trust-strict"]
    assert entry["metadata"]["pack"] == "intra-org"
    assert [error["file"] for error in document["errors"]] == ["local/broken/1.0.0/scenario.yaml"]


def test_show_tells_agents_trust_inputs_and_what_steps_check(shell: Shell) -> None:
    shown = shell("show", REF).stdout
    for part in ("offers write.content", "every pair shakes hands", 'default "casual"', "$.style equals"):
        assert part in shown
    for label in ("(internal, pinned_key, ed25519)", "Content Writer 1.0.0 (langchain)", "_shared/agents/writer"):
        assert label in shown
    assert (
        "(internal, aws-us-east, pinned_key, ed25519)" in shell("show", "cross-cloud/distributed-review@1.0.0").stdout
    )


def test_show_says_what_a_step_takes_and_does_without_agents(shell: Shell) -> None:
    assert "verifier writer, via_step export" in shell("show", "intra-org/session-bundle@1.0.0").stdout
    assert "via_delegation delegate" in shell("show", "intra-org/delegation-chain@1.0.0").stdout
    pinned = shell("show", "intra-org/spki-pinning@1.0.0").stdout
    assert pinned.count("looks for the key of a certificate among 1 that are pinned") == 2
    assert "nothing is done" not in pinned


def test_show_of_a_template_shows_what_it_changes(shell: Shell) -> None:
    plain, strict = (json.loads(shell("show", REF, *extra, "--json").stdout) for extra in ([], ["-t", "trust-strict"]))
    assert plain["spec"]["trust"]["eager"] is True
    assert strict["spec"]["trust"]["eager"] is False


def test_a_dry_run_says_who_calls_whom_and_starts_nothing(shell: Shell) -> None:
    done = shell("dry-run", REF, "-t", "trust-strict", "-i", "style=technical", env={"AGENT_BASE_PORT": "9300"})
    assert done.returncode == 0
    assert "researcher calls writer for write.content under the TCT it holds" in done.stdout
    assert 'style: "technical"' in done.stdout
    assert "port 9301" in done.stdout
    assert "forked" in done.stdout
    assert not (shell.home / "state").exists(), "nothing is recorded"
    assert "executed by" in shell("dry-run", REF, env={"AGENT_LAUNCHER": "exec"}).stdout


def test_a_dry_run_refuses_what_a_run_would(shell: Shell) -> None:
    assert shell("dry-run", REF, "-i", "style=wild").returncode == 2
    assert shell("dry-run", "no/such@1").returncode == 2


def test_validate_names_file_line_and_nearest_key_and_exits_1(shell: Shell) -> None:
    shell.write_scenario("broken", expect="[{path: $.topic, equls: x}]")
    done = shell("validate", "scenarios")
    assert done.returncode == 1
    assert "scenarios/local/broken/1.0.0/scenario.yaml:21: error: " in done.stdout
    assert "did you mean 'equals'" in done.stdout


def test_validate_looks_at_no_more_than_it_is_given(shell: Shell) -> None:
    shell.write_scenario("broken", capability="nothing.offered")
    shell.write_scenario("sound")
    assert shell("validate", "scenarios/local/sound").returncode == 0
    assert shell("validate", "scenarios/local").returncode == 1


def test_yaml_that_is_none_is_told_with_its_line(shell: Shell) -> None:
    shell.write_scenario("broken", expect="[{path: $.a, equals: b")
    done = shell("validate", "scenarios")
    assert done.returncode == 1
    assert "scenario.yaml:" in done.stdout
    assert "Traceback" not in done.stderr


def test_lint_exits_1_on_warnings_only_when_strict(shell: Shell) -> None:
    shell.write_scenario("proofless")
    lenient, strict = shell("lint", "scenarios"), shell("lint", "scenarios", "--strict")
    assert (lenient.returncode, strict.returncode) == (0, 1)
    assert ": warning: " in lenient.stdout
    assert "demonstrates nothing" in lenient.stdout


def test_the_schema_is_printed_as_it_is_written(shell: Shell) -> None:
    printed, made = shell("schema"), shell("schema", "--output", "scenario.schema.json")
    assert (printed.returncode, made.returncode, made.stdout) == (0, 0, "made scenario.schema.json\n")
    assert (shell.home / "scenario.schema.json").read_text() == printed.stdout
    assert json.loads(printed.stdout)["$schema"].endswith("2020-12/schema")


def test_the_schema_of_one_kind_is_of_that_kind_alone(shell: Shell) -> None:
    assert set(json.loads(shell("schema", "ScenarioPack").stdout)["$defs"]) == {"PackMetadata", "ScenarioPack"}


@pytest.mark.parametrize("args", [["Scenario"], ["--output", "nowhere/scenario.schema.json"], ["--output", "."]])
def test_a_schema_of_nothing_or_for_nowhere_is_wrong_usage(shell: Shell, args: list[str]) -> None:
    done = shell("schema", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: " in done.stderr


def test_the_contract_is_printed_as_it_is_written_and_kept(shell: Shell) -> None:
    printed, made = shell("openapi"), shell("openapi", "--output", "made.json")
    assert (printed.returncode, made.returncode, made.stdout) == (0, 0, "made made.json\n")
    assert (shell.home / "made.json").read_text() == printed.stdout
    assert json.loads(printed.stdout)["openapi"].startswith("3.1.")
    nowhere = shell("openapi", "--output", "nowhere/made.json")
    assert (nowhere.returncode, nowhere.stdout) == (2, "")
    assert "Error: nowhere/made.json cannot be written" in nowhere.stderr


def test_text_of_a_scenario_cannot_drive_the_terminal(shell: Shell) -> None:
    shell.write_scenario("hostile")
    file = shell.scenarios / "local/hostile/1.0.0/scenario.yaml"
    file.write_text(file.read_text().replace("name: A test", 'name: A test, summary: "\\e[2Jgone"'))
    for command in (["list"], ["show", "local/hostile@1.0.0"]):
        shown = shell(*command).stdout
        assert "gone" in shown
        assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("args", "absent"),
    [
        (["--version"], ["pydantic", "asyncio", "aiohttp", "rich"]),
        (["--help"], ["pydantic", "asyncio", "aiohttp", "rich"]),
        (["list"], ["aiohttp", "aitp_playground.service", "sqlite3"]),
    ],
)
def test_a_command_imports_only_what_it_needs(shell: Shell, args: list[str], absent: list[str]) -> None:
    done = shell(*args, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in imported
    assert not imported.intersection(absent)


def test_an_unknown_command_is_answered_with_the_nearest(shell: Shell) -> None:
    done = shell("lst")
    assert done.returncode == 2
    assert "did you mean 'list'" in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(shell: Shell, command: str) -> None:
    shown = shell(command, "--help").stdout
    assert re.search(rf"Examples?:\n    aitp-playground {command}\b", shown)


def _bundle(coordinator: aitp.AitpAgent) -> str:
    """A session bundle with one participant: the peer to which a handshake gave a token."""
    peer = aitp.AitpAgent.generate()
    for each in (coordinator, peer):
        made = each.build_manifest("A", "http://localhost:1/aitp/handshake/", ["demo.a"], ttl_secs=600)
    asking, asked = coordinator.new_session(pinned_keys=[peer.aid]), peer.new_responder(pinned_keys=[coordinator.aid])
    ack, session = asked.process_hello(asking.build_hello(made, ["demo.a"]))
    _, given = asked.process_commit(asking.process_hello_ack(ack, session), revoked_jtis=set())
    tct = json.loads(given)["tct"]
    return aitp.SessionBundleBuilder(coordinator).participant(peer.aid, tct).build()


def test_what_is_signed_is_read_from_a_file_from_standard_input_and_from_an_address(shell: Shell) -> None:
    agent = aitp.AitpAgent.generate()
    manifest = agent.build_manifest("A", "http://localhost:1/aitp/handshake/", ["demo.a"], ttl_secs=600)
    bundle = _bundle(agent)
    for text, code in ((manifest, 0), (manifest.replace("demo.a", "demo.b"), 1), ("{}", 2), (bundle, 3)):
        (shell.home / "signed.json").write_text(text)
        done = shell("inspect", "signed.json")
        assert done.returncode == code, done
        piped = subprocess.run(
            shell.argv("inspect", "-", "--json"),
            input=text,
            env=shell.environment(),
            cwd=shell.home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert piped.returncode == code
        if code != 2:
            told = json.loads(piped.stdout)
            assert told["verdict"] == {0: "good", 1: "bad", 3: "unknown"}[code]
        if code == 1:
            assert "does not hold: MANIFEST_SIGNATURE_INVALID" in done.stdout
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(shell.home))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (shell.home / "signed.json").write_text(manifest)
        url = f"http://127.0.0.1:{server.server_port}"
        assert f"aid: {agent.aid}" in shell("inspect", f"{url}/signed.json").stdout
        missing = shell("inspect", f"{url}/nowhere")
        assert (missing.returncode, "answered 404" in missing.stderr) == (2, True)
        server.shutdown()
    assert shell("inspect", "nowhere.json").returncode == 2
    (shell.home / "large").write_bytes(b" " * (5 << 20))
    assert "is larger than" in shell("inspect", "large").stderr


def test_what_is_inspected_drives_no_terminal(shell: Shell) -> None:
    (shell.home / "odd.json").write_text(
        json.dumps({"session_bundle": {"participants": [], "x\x1b[2J": "\x1b]0;y\x07"}})
    )
    assert "\x1b" not in shell("inspect", "odd.json").stdout
