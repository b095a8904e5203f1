"""A worker's life as a process: how it starts, what it keeps to itself, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.agents.harness import (
    ROOT,
    WAIT,
    WORKERS,
    Make,
    SdkPeer,
    Start,
    TelemetrySink,
    WorkerProcess,
    b64,
    introduce,
)


async def test_started_worker_announces_itself_and_executes_its_own_capability(
    start: Start, sink: TelemetrySink
) -> None:
    worker = await start("alice")
    assert worker.out == f"AITP_AGENT_READY aid={worker.aid} port={worker.port}\n".encode()
    answer = await worker.admin("self-execute", {"capability": "demo.echo", "input": {"n": 1}})
    assert (answer.status, answer.body) == (200, {"result": {"echo": {"n": 1}}, "emitter_seq": 1})
    [event] = await sink.wait_for("capability.self_execute")
    assert (event["capability"], event["emitter_seq"]) == ("demo.echo", 1)


async def test_what_a_capability_prints_is_readable_while_the_worker_lives(start: Start) -> None:
    worker = await start("alice")
    await worker.admin("self-execute", {"capability": "demo.echo", "input": {}})
    await asyncio.wait_for(worker.printed.wait(), WAIT)
    assert worker.out.endswith(b"\nechoing\n")


async def test_aid_follows_from_the_seed(make: Make) -> None:
    one, two = make("one"), make("two")
    two.document["seed"] = one.document["seed"]
    await one.start()
    await two.start()
    assert one.aid == two.aid


async def test_capability_that_asks_for_it_gets_the_context(start: Start) -> None:
    worker = await start("alice", offered_caps=["demo.who"])
    answer = await worker.admin("self-execute", {"capability": "demo.who", "input": {}})
    assert answer.body["result"] == {"agent_id": "alice", "display_name": "Alice", "caps": ["demo.who"]}


def proc_file(worker: WorkerProcess, name: str) -> bytes:
    try:
        return Path(f"/proc/{worker.process.pid}/{name}").read_bytes()
    except PermissionError:
        pytest.skip("only root sees into a worker")


def descriptor(worker: WorkerProcess, number: str) -> str:
    """What an open descriptor stands for; empty when it is closed."""
    path = Path(f"/proc/{worker.process.pid}/fd/{number}")
    return str(path.readlink()) if path.is_symlink() else ""


async def not_started(worker: WorkerProcess, reason: str, **launch: Any) -> None:
    await worker.launch(**launch)
    assert await worker.ended() == 2
    assert b"AITP_AGENT_READY" not in worker.out
    assert reason in worker.err.decode()
    assert "Traceback" not in worker.err.decode()


async def test_offered_capability_without_a_function_stops_the_start(make: Make) -> None:
    await not_started(make("alice", offered_caps=["demo.echo", "demo.nothing"]), "capability demo.nothing")


async def test_unknown_bootstrap_key_stops_the_start_and_is_named(make: Make) -> None:
    await not_started(make("alice", colour="red"), "colour: unknown key")


async def test_bootstrap_that_is_no_json_stops_the_start_without_quoting_it(make: Make) -> None:
    worker = make("alice")
    await not_started(worker, "not JSON", document=b'{"seed": "hush')
    assert "hush" not in worker.err.decode()


async def test_listening_socket_of_another_port_stops_the_start(make: Make) -> None:
    await not_started(make("alice", port=1), "the bootstrap document says 1")


async def test_worker_run_by_hand_says_that_it_needs_a_launcher() -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "agents")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(WORKERS / "plain.py"),
        env=env,
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    _, err = await asyncio.wait_for(process.communicate(), WAIT)
    assert (process.returncode, b"started by a launcher" in err) == (2, True)


async def test_worker_dies_at_once_with_the_service(start: Start, sink: TelemetrySink) -> None:
    worker = await start("alice")
    worker.hang_up()
    assert await worker.ended() == 1


async def test_sigterm_delivers_what_was_emitted_and_exits_zero(start: Start, sink: TelemetrySink) -> None:
    worker = await start("alice")
    sink.gate.clear()
    for n in range(5):
        await worker.admin("self-execute", {"capability": "demo.echo", "input": {"n": n}})
    worker.process.terminate()
    sink.gate.set()
    assert await worker.ended() == 0
    assert [event["emitter_seq"] for event in sink.events] == [1, 2, 3, 4, 5]


async def test_sigterm_ends_the_worker_though_nobody_takes_its_telemetry(start: Start, sink: TelemetrySink) -> None:
    worker = await start("alice")
    sink.gate.clear()
    await worker.admin("self-execute", {"capability": "demo.echo", "input": {}})
    worker.process.terminate()
    assert await worker.ended() == 0
    assert not sink.events


async def test_terminal_interrupt_is_left_to_the_service(start: Start) -> None:
    worker = await start("alice")
    worker.process.send_signal(signal.SIGINT)
    assert (await worker.request("GET", "/.well-known/aitp-manifest")).status == 200


async def test_secrets_are_in_neither_command_line_environment_nor_output(start: Start, sink: TelemetrySink) -> None:
    worker, peer = await start("alice"), SdkPeer("carol")
    await introduce(worker, peer)
    token = await peer.token_from(worker)
    await worker.request("POST", "/capabilities/demo.echo", "{}", await peer.proof(worker, token))
    await worker.request("POST", "/capabilities/demo.echo", "{}", {"X-AITP-TCT": token})
    await worker.admin("self-execute", {"capability": "demo.broken", "input": {}})
    await worker.admin("flush", {})
    visible = proc_file(worker, "cmdline") + proc_file(worker, "environ")
    worker.process.terminate()
    await worker.ended()
    visible += worker.out + worker.err + json.dumps(sink.batches).encode()
    for secret in (b64(worker.seed), worker.admin_token, worker.telemetry_token, token, token.split(".")[2]):
        assert secret.encode() not in visible
    assert b"RuntimeError" in visible


async def test_bootstrap_descriptor_is_closed_and_no_other_is_inheritable(start: Start) -> None:
    worker = await start("alice")
    entries = (entry.split(b"=", 1) for entry in proc_file(worker, "environ").split(b"\0") if b"AITP_" in entry)
    fds = {name: number.decode() for name, number in entries}
    # The number may serve something else by now; a pipe would be the one the document came through.
    assert "pipe:" not in descriptor(worker, fds[b"AITP_BOOTSTRAP_FD"])
    assert "pipe:" in descriptor(worker, fds[b"AITP_LIFELINE_FD"])
    for name in (b"AITP_LISTEN_FD", b"AITP_LIFELINE_FD"):
        flags = proc_file(worker, f"fdinfo/{fds[name]}").split(b"flags:")[1].split()[0]
        assert int(flags, 8) & os.O_CLOEXEC


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "[::1]", "", "169.254.1.1"]
)
async def test_foreign_host_names_are_refused(start: Start, host: str) -> None:
    worker = await start("alice")
    answer = await worker.request("GET", "/.well-known/aitp-manifest", headers={"Host": host})
    assert (answer.status, answer.body["error"]["code"]) == (421, "forbidden")


async def test_loopback_host_names_are_served_without_naming_the_software(start: Start) -> None:
    worker = await start("alice")
    for host in ("localhost", f"localhost:{worker.port}", "127.0.0.1", f"LOCALHOST:{worker.port}"):
        answer = await worker.request("GET", "/.well-known/aitp-manifest", headers={"Host": host})
        assert answer.status == 200
        assert "Server" not in answer.headers


async def test_errors_of_the_router_have_the_error_shape(start: Start) -> None:
    worker = await start("alice")
    for method, path, status, code in (
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/aitp/handshake/hello", 405, "method_not_allowed"),
        ("GET", "/.well-known/did.json", 404, "not_found"),
    ):
        answer = await worker.request(method, path)
        assert (answer.status, answer.body["error"]["code"]) == (status, code)


@pytest.mark.parametrize("host", ["localhost:8101", "localhost"])
async def test_did_document_of_a_loopback_host_names_the_real_port(make: Make, host: str) -> None:
    worker = make("alice", did_web_host=host)
    await worker.start()
    document = (await worker.request("GET", "/.well-known/did.json")).body
    assert document["id"] == f"did:web:localhost%3A{worker.port}"
    [service] = document["service"]
    assert service["type"] == "AitpManifest"
    assert service["serviceEndpoint"] == f"{worker.base_url}/.well-known/aitp-manifest"
