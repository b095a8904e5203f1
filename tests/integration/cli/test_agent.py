"""``agent``: one worker on its own, found and used by a playground that never heard of it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aitp
import pytest
import yaml

from aitp_playground import resources

from .serving import ask
from .shell import TIMEOUT, Shell, await_end, descendants

KEY = "a key for these tests only"
FEDERATED = "cross-org/federated-analysis@1.0.0"


@dataclass
class ControlPlane:
    """A Control Plane, and what a command needs to use it."""

    url: str
    env: dict[str, str]

    def registered(self) -> list[str]:
        """The AIDs of those who offer analyses."""
        rows = json.loads(ask(f"{self.url}/api/registry/agents?capability=analyze.data"))["agents"]
        return [row["aid"] for row in rows]


@dataclass
class Agent:
    """A running ``agent``, with the lines it printed so far."""

    process: subprocess.Popen[str]
    aid: str
    url: str

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, out, err


@pytest.fixture
def control_plane(shell: Shell) -> Iterator[ControlPlane]:
    process = shell.start("control-plane", "--port", "0", "--db", ":memory:", CP_API_KEY=KEY)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        told = dict(process.stdout.readline().strip().split("=") for _ in range(2))
        yield ControlPlane(told["CP_BASE_URL"], {**told, "CP_API_KEY": KEY})
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def agent(shell: Shell, *args: str, state: str = "elsewhere", **env: str) -> Iterator[Agent]:
    process = shell.start("agent", *args, **{"STATE_DIR": str(shell.home / state), **env})
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        aid = process.stdout.readline().strip().removeprefix("AID=")
        assert aid.startswith("aid:"), process.communicate()
        if "--enroll" in args:
            assert process.stdout.readline().startswith("enrolled at ")
        yield Agent(process, aid, url)
    finally:
        process.kill()
        process.communicate()


def test_an_enrolled_agent_is_found_and_used_by_a_run_elsewhere(shell: Shell, control_plane: ControlPlane) -> None:
    with agent(shell, "analyzer", "--enroll", "--accept", "any-verified", **control_plane.env) as analyzer:
        assert control_plane.registered() == [analyzer.aid]
        run = shell.document("run", FEDERATED, "--require-proof", "--json", env=control_plane.env)
        assert run["status"] == "success"
        met = {event["aid_b"] for event in run["events"] if event["type"] == "handshake.complete"}
        assert met == {analyzer.aid}
        code, out, err = analyzer.end()
    assert (code, out) == (0, "deregistered\n")
    assert '"event":"capability.invoked"' in err, "it was the one that did the analysis"
    assert control_plane.registered() == []


def test_an_agent_told_to_accept_nobody_refuses_and_says_so(shell: Shell, control_plane: ControlPlane) -> None:
    with agent(shell, "analyzer", "--enroll", **control_plane.env) as analyzer:
        run = shell.document("run", FEDERATED, "--json", env=control_plane.env)
        assert run["status"] == "failed"
        _, _, err = analyzer.end()
    assert "--accept says who may" in err
    assert "has not been introduced" in err


@pytest.mark.parametrize("wanted", [True, False])
def test_an_agent_serves_a_did_document_when_its_manifest_says_so(shell: Shell, wanted: bool) -> None:
    manifest = yaml.safe_load((resources.scenarios_dir() / "_shared/agents/analyzer.yaml").read_text())
    manifest["spec"]["did_web"] = wanted
    file = shell.home / "analyst.yaml"
    file.write_text(yaml.safe_dump(manifest))
    with agent(shell, str(file)) as analyst:
        if wanted:
            document = json.loads(ask(f"{analyst.url}/.well-known/did.json"))
            assert document["id"] == f"did:web:localhost%3A{analyst.url.rpartition(':')[2]}"
        else:
            with pytest.raises(urllib.error.HTTPError, match="404"):
                ask(f"{analyst.url}/.well-known/did.json")


def test_an_agent_may_accept_one_aid_and_no_other(shell: Shell) -> None:
    friend, other = (aitp.AitpAgent.from_seed(secrets.token_bytes(32)) for _ in range(2))
    for sdk_agent in (friend, other):
        sdk_agent.build_manifest("caller", "http://localhost:1/aitp/handshake/hello", ["peer.thing"])
    tagged = friend.aid.replace("aid:pubkey:", "aid:pubkey:ed25519:")
    with agent(shell, "analyzer", "--accept", friend.aid, "--accept", tagged) as analyzer:
        assert (_hello(friend, analyzer), _hello(other, analyzer)) == (200, 400)


def test_an_agent_that_is_accepted_by_its_aid_may_delegate(shell: Shell) -> None:
    """Nobody said where it is: its manifest is the one that it came with."""
    friend, delegatee = (aitp.AitpAgent.from_seed(secrets.token_bytes(32)) for _ in range(2))
    friend.build_manifest("friend", "http://localhost:1/aitp/handshake/hello", ["peer.thing"])
    with agent(shell, "analyzer", "--accept", friend.aid) as analyzer:
        given = _shake(friend, analyzer)
        delegation = friend.build_delegation(given["grant_voucher"], delegatee.aid, ["analyze.data"])
        told = json.dumps({"delegation_token": delegation}).encode()
        challenge = json.loads(_posted(f"{analyzer.url}/aitp/delegation/challenge", told))["payload"]
        proof = {"delegation_token": delegation, **json.loads(delegatee.sign_pop_response(json.dumps(challenge)))}
        redemption = delegatee.sign_envelope("pop_response", json.dumps(proof)).encode()
        assert json.loads(_posted(f"{analyzer.url}/aitp/delegation/redeem", redemption)).keys() == {"tct"}


def test_whose_key_it_takes_and_why_it_refuses_is_a_warning_with_its_code(shell: Shell) -> None:
    stranger = aitp.AitpAgent.from_seed(secrets.token_bytes(32))
    stranger.build_manifest("caller", "http://localhost:1/aitp/handshake/hello", ["peer.thing"])
    with agent(shell, "analyzer", "--accept", "any-verified") as analyzer:
        assert _hello(stranger, analyzer) == 200
        assert _status(f"{analyzer.url}/capabilities/analyze.data", b"{}") == 403
        _, _, err = analyzer.end()
    lines = {line["event"]: line for line in (json.loads(text) for text in err.splitlines() if text.startswith("{"))}
    taken, denied = lines["stranger.accepted"], lines["capability.denied"]
    assert (taken["level"], taken["aid"], taken["accept"]) == ("warning", stranger.aid, "any-verified")
    assert (denied["level"], denied["code"], denied["registry_code"]) == ("warning", "tct_missing", "POLICY_VIOLATION")


def _shake(caller: aitp.AitpAgent, callee: Agent) -> dict[str, str]:
    """``{"tct", "grant_voucher"}``, as the callee gave it."""
    manifest = ask(f"{callee.url}/.well-known/aitp-manifest").decode()
    session = caller.new_session(pinned_keys=[callee.aid])
    ack = _posted(f"{callee.url}/aitp/handshake/hello", session.build_hello(manifest, ["analyze.data"]).encode())
    commit = session.process_hello_ack(ack, str(uuid.uuid4()))
    commit_ack = _posted(f"{callee.url}/aitp/handshake/commit", commit.encode())
    given: dict[str, str] = json.loads(session.complete(commit_ack, revoked_jtis=set()))
    return given


def _posted(url: str, body: bytes) -> str:
    """What was answered, with 200."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        text: str = answer.read().decode()
        return text


def _hello(caller: aitp.AitpAgent, callee: Agent) -> int:
    """The status of the answer to a hello."""
    manifest = ask(f"{callee.url}/.well-known/aitp-manifest").decode()
    hello = caller.new_session(pinned_keys=[callee.aid]).build_hello(manifest, ["analyze.data"])
    return _status(f"{callee.url}/aitp/handshake/hello", hello.encode())


def _status(url: str, body: bytes) -> int:
    """The status of the answer to a document that is posted."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code


def test_without_the_key_it_says_that_it_stays_registered(shell: Shell, control_plane: ControlPlane) -> None:
    with agent(shell, "analyzer", "--enroll", CP_BASE_URL=control_plane.url) as analyzer:
        _, out, _ = analyzer.end()
    assert out == f"still registered at {control_plane.url} until its manifest expires (unauthorized)\n"
    assert control_plane.registered() == [analyzer.aid]


def test_without_a_control_plane_it_says_where_nothing_answers_and_claims_no_entry(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
    process = shell.start("agent", "analyzer", "--enroll", CP_BASE_URL=url, CP_API_KEY=KEY)
    try:
        assert process.stdout is not None
        *_, told = (process.stdout.readline() for _ in ("where it listens", "its AID", "what came of it"))
        process.terminate()
        out, _ = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
        process.communicate()
    assert told.startswith(f"not enrolled: nothing answers at {url} (refused)")
    assert "CP_BASE_URL" in told
    assert "registered" not in out


def test_its_aid_outlives_it_as_long_as_the_state_is_kept(shell: Shell) -> None:
    aids = []
    for state in ("first", "first", "second"):
        with agent(shell, "analyzer", state=state) as analyzer:
            aids.append(analyzer.aid)
            assert analyzer.end(signal.SIGINT)[0] == 0
    assert aids[0] == aids[1] != aids[2]


def record_of(shell: Shell, state: str) -> Path:
    """Where the one agent with that state keeps what it revoked."""
    [lock] = (shell.home / state / "agents").glob("*.lock")
    return lock.with_suffix(".json")


def test_what_it_revoked_outlives_it_and_is_never_silently_forgotten(shell: Shell) -> None:
    jti, now = str(uuid.uuid4()), int(time.time())
    with agent(shell, "analyzer", state="kept") as analyzer:
        aid = analyzer.aid
    record = record_of(shell, "kept")
    line = [jti, now, "lost", "local", now + 3600]
    record.touch(0o600)
    record.write_text(json.dumps({"v": 1, "aid": aid, "revoked": [line], "lineage": []}))
    with agent(shell, "analyzer", state="kept") as analyzer:
        listed = json.loads(ask(f"{analyzer.url}/.well-known/aitp-revocation-list"))["revocation_list"]
        assert (listed["issuer"], [entry["jti"] for entry in listed["entries"]]) == (aid, [jti])
        twin = shell("agent", "analyzer", env={"STATE_DIR": str(shell.home / "kept")})
        assert twin.returncode != 0
        assert "another process runs as this agent" in twin.stderr
    record.write_text("{")
    done = shell("agent", "analyzer", env={"STATE_DIR": str(shell.home / "kept")})
    assert done.returncode != 0
    assert f"{record} is damaged" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_manifest_file_brings_the_agents_beside_it(shell: Shell) -> None:
    shell.write_sleeper()
    with agent(shell, "scenarios/_shared/agents/sleeper.yaml") as sleeper:
        manifest = json.loads(ask(f"{sleeper.url}/.well-known/aitp-manifest"))["manifest"]
    assert (manifest["aid"], manifest["offered_capabilities"]) == (sleeper.aid, ["sleep.long"])


def test_the_worker_ends_with_a_command_that_is_killed(shell: Shell) -> None:
    with agent(shell, "analyzer") as analyzer:
        workers = descendants(analyzer.process.pid)
        assert workers
        analyzer.end(signal.SIGKILL)
        for pid in workers:
            await_end(pid)


def test_the_command_ends_with_a_worker_that_dies(shell: Shell) -> None:
    with agent(shell, "analyzer") as analyzer:
        [worker] = descendants(analyzer.process.pid)
        os.kill(worker, signal.SIGKILL)
        _, err = analyzer.process.communicate(timeout=TIMEOUT)
        assert analyzer.process.returncode == 1
    assert "the agent ended with code -9" in err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["analyzer", "--enroll"], "CP_BASE_URL"),
        (["no-such-agent"], "_shared/agents"),
        (["../../etc/passwd"], "neither a file nor a manifest"),
        (["analyzer", "--accept", "everybody"], "any-verified, or an AID"),
        (["analyzer", "--namespace", "x"], "--enroll"),
        (["researcher-oidc"], "pinned_key"),
    ],
)
def test_a_mistake_of_the_caller_exits_2(shell: Shell, args: list[str], said: str) -> None:
    done = shell("agent", *args)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
