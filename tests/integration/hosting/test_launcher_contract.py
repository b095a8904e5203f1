"""The launch contract, for every launcher."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aitp_playground.errors import LaunchError
from aitp_playground.hosting.contract import AgentProcess, Exit, Launcher, Ready
from aitp_playground.hosting.output import TAIL_BYTES
from aitp_playground.resources import agents_dir
from tests.integration.hosting.staging import WORKERS, ended, exists, scripted

GRACE = 30.0


async def launched(launcher: Launcher, listener: socket.socket, act: str, **given: Any) -> AgentProcess:
    process = await launcher.launch(scripted(listener, act, **given))
    await process.ready()
    return process


async def refused(launcher: Launcher, listener: socket.socket, act: str, **given: Any) -> tuple[LaunchError, int]:
    process = await launcher.launch(scripted(listener, act, **given))
    with pytest.raises(LaunchError) as failure:
        await process.ready()
    return failure.value, process.pid


async def report(launcher: Launcher, listener: socket.socket, **given: Any) -> Mapping[str, Any]:
    process = await launched(launcher, listener, "report", **given)
    facts: dict[str, Any] = json.loads(process.output().splitlines()[0])
    await process.stop(GRACE)
    return facts


async def test_a_ready_agent_tells_its_aid_and_the_port_it_was_given(
    launcher: Launcher, listener: socket.socket
) -> None:
    process = await launcher.launch(scripted(listener, "until_told_to_end"))
    assert await process.ready() == Ready("aid:pubkey:scripted", listener.getsockname()[1])
    assert await process.ready() == Ready("aid:pubkey:scripted", listener.getsockname()[1])
    assert await process.stop(GRACE) == Exit(0)
    assert not exists(process.pid)


async def test_an_agent_that_ends_early_is_reported_with_its_exit_code_and_stderr(
    launcher: Launcher, listener: socket.socket
) -> None:
    error, pid = await refused(launcher, listener, "exit_early", code=7)
    assert "exit code 7" in error.message
    assert "no key, no service" in error.message
    assert error.details == {"agent_id": "scripted", "exit_code": 7, "stderr": "no key, no service\n"}
    assert not exists(pid)


async def test_an_agent_whose_code_ends_without_serving_is_told_how_a_worker_ends(
    launcher: Launcher, listener: socket.socket
) -> None:
    error, pid = await refused(launcher, listener, "exit_early", code=0)
    assert "ran to the end and served nothing" in error.message
    assert "worker.run()" in error.message
    assert not exists(pid)


async def test_an_uncaught_exception_is_a_traceback_on_stderr_and_exit_code_1(
    launcher: Launcher, listener: socket.socket
) -> None:
    error, _pid = await refused(launcher, listener, "raise_error")
    assert error.details["exit_code"] == 1
    assert "Traceback" in error.details["stderr"]
    assert error.details["stderr"].endswith("ValueError: the corpus is missing\n")


async def test_a_silent_agent_runs_out_of_time_and_is_gone(launcher: Launcher, listener: socket.socket) -> None:
    error, pid = await refused(launcher, listener, "stay_silent", spec={"startup_timeout": 0.3})
    assert "not ready within 0.3 s" in error.message
    assert not exists(pid)


async def test_output_before_the_ready_line_is_only_output(launcher: Launcher, listener: socket.socket) -> None:
    pieces = ["\x00\xff\xfe garbage\n", "almost AITP_AGENT_READY aid=x port=1\n", "y" * 200_000, "\n"]
    process = await launched(launcher, listener, "say", pieces=pieces)
    assert await process.stop(GRACE) == Exit(0)


async def test_a_ready_line_that_names_another_port_is_refused_and_the_agent_is_gone(
    launcher: Launcher, listener: socket.socket
) -> None:
    error, pid = await refused(launcher, listener, "announce_wrong_port")
    assert "names port 1" in error.message
    assert not exists(pid)


@pytest.mark.parametrize(
    "rest", ["", " port=1", " aid=aid:a aid=aid:b port=1", " aid=aid:a port=1 extra", " aid=b port=1"]
)
async def test_a_malformed_ready_line_is_refused(launcher: Launcher, listener: socket.socket, rest: str) -> None:
    error, pid = await refused(launcher, listener, "announce", line=f"AITP_AGENT_READY{rest}")
    assert "its ready line is not" in error.message
    assert not exists(pid)


async def test_an_agent_that_prints_megabytes_is_not_held_up_and_only_the_end_is_kept(
    launcher: Launcher, listener: socket.socket
) -> None:
    process = await launched(launcher, listener, "chatter")
    await process.stop(GRACE)
    assert process.output().endswith("the last word")
    assert len(process.output()) <= 2 * TAIL_BYTES


async def test_an_agent_that_ignores_sigterm_is_killed_after_the_grace_time(
    launcher: Launcher, listener: socket.socket
) -> None:
    process = await launched(launcher, listener, "ignore_term")
    assert await process.stop(0.2) == Exit(-signal.SIGKILL)
    assert not exists(process.pid)


async def test_stopping_twice_at_once_gives_both_callers_the_exit(launcher: Launcher, listener: socket.socket) -> None:
    process = await launched(launcher, listener, "until_told_to_end")
    assert tuple(await asyncio.gather(process.stop(GRACE), process.stop(GRACE), process.wait())) == (
        Exit(0),
        Exit(0),
        Exit(0),
    )
    assert await process.stop(0) == Exit(0)


async def test_death_by_a_signal_is_reported_as_the_negative_signal(
    launcher: Launcher, listener: socket.socket
) -> None:
    process = await launcher.launch(scripted(listener, "die_by_signal", signal=signal.SIGKILL.value))
    assert await process.wait() == Exit(-signal.SIGKILL)


async def test_what_an_agent_started_ends_with_it(launcher: Launcher, listener: socket.socket) -> None:
    process = await launched(launcher, listener, "start_helper")
    helper = json.loads(process.output().splitlines()[0])["helper"]
    assert await process.stop(GRACE) == Exit(0)
    await ended(helper)


async def test_secrets_are_blotted_out_also_when_printed_in_pieces(launcher: Launcher, listener: socket.socket) -> None:
    process = await launched(
        launcher, listener, "say", pieces=["token=s3c", "r3t-v4", "lue.\n"], spec={"secrets": ("s3cr3t-v4lue",)}
    )
    await process.stop(GRACE)
    assert process.output().startswith("token=[redacted].\n")


async def test_the_environment_is_the_contracts_and_nothing_else(
    launcher: Launcher, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CP_API_KEY", "service-only")
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.delenv("LANG", raising=False)
    monkeypatch.setenv("TZ", "Europe/Berlin")
    facts = await report(launcher, listener, spec={"env": {"CORPUS": "small"}})
    own = {"AITP_BOOTSTRAP_FD", "AITP_LISTEN_FD", "AITP_LIFELINE_FD", "CORPUS"}
    inherited = {name for name in ("PATH", "HOME", "TZ", "TMPDIR") if name in os.environ}
    assert facts["environ"].keys() == own | inherited
    assert facts["environ"]["CORPUS"] == "small"
    assert facts["environ"]["TZ"] == "Europe/Berlin"
    assert {entry.split("=")[0] for entry in facts["initial_environ"]} <= own | inherited


async def test_an_agent_holds_the_contracts_descriptors_and_no_others(
    launcher: Launcher, listener: socket.socket
) -> None:
    facts = await report(launcher, listener)
    environ = facts["environ"]
    assert facts["descriptors"] == sorted((0, 1, 2, int(environ["AITP_LISTEN_FD"]), int(environ["AITP_LIFELINE_FD"])))
    assert facts["inheritable"] == []
    assert facts["stdin"] == "/dev/null"


async def test_no_secret_is_on_the_command_line(launcher: Launcher, listener: socket.socket) -> None:
    facts = await report(launcher, listener, token="bootstrap-token")
    assert "bootstrap-token" not in facts["cmdline"]
    assert facts["argv"] == [str(WORKERS / "scripted.py")]


async def test_an_agent_starts_like_any_program(launcher: Launcher, listener: socket.socket, tmp_path: Path) -> None:
    facts = await report(launcher, listener, spec={"cwd": tmp_path})
    assert facts["main"] == "__main__"
    assert facts["cwd"] == str(tmp_path)
    assert facts["path"][:2] == [str(WORKERS), str(agents_dir())]
    assert facts["session"] == facts["pid"]
    assert facts["blocked"] == []
    assert facts["term"]


async def test_two_agents_share_no_random_state(launcher: Launcher, listener: socket.socket) -> None:
    first, second = await report(launcher, listener), await report(launcher, listener)
    assert first["random"] != second["random"]


async def test_a_changed_entrypoint_runs_as_it_is_now(
    launcher: Launcher, listener: socket.socket, tmp_path: Path
) -> None:
    package = tmp_path / "fresh"
    package.mkdir()
    (package / "__init__.py").touch()
    spec = {"entrypoint_type": "python_module", "entrypoint": "fresh.main", "path": (tmp_path, agents_dir())}
    for code in (3, 14):
        (package / "main.py").write_text(f"raise SystemExit({code})")
        error, _pid = await refused(launcher, listener, "unused", spec=spec)
        assert error.details["exit_code"] == code


async def test_a_packs_own_base_package_comes_before_the_shipped_one(
    launcher: Launcher, listener: socket.socket, tmp_path: Path
) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "__init__.py").write_text("CODE = 9")
    (tmp_path / "main.py").write_text("import base, sys\nsys.exit(base.CODE)")
    spec = {"entrypoint": "main.py", "path": (tmp_path, agents_dir())}
    error, _pid = await refused(launcher, listener, "unused", spec=spec)
    assert error.details["exit_code"] == 9


async def test_a_packs_own_worker_package_comes_before_the_shipped_one_of_its_name(
    launcher: Launcher, listener: socket.socket, tmp_path: Path
) -> None:
    (tmp_path / "researcher").mkdir()
    (tmp_path / "researcher" / "__init__.py").write_text("CODE = 9")
    (tmp_path / "main.py").write_text("import researcher, sys\nsys.exit(researcher.CODE)")
    spec = {"entrypoint": "main.py", "path": (tmp_path, agents_dir())}
    error, _pid = await refused(launcher, listener, "unused", spec=spec)
    assert error.details["exit_code"] == 9


async def test_exit_handlers_run_and_messages_given_to_exit_are_printed(
    launcher: Launcher, listener: socket.socket, tmp_path: Path
) -> None:
    (tmp_path / "main.py").write_text("import atexit, sys\natexit.register(print, 'flushed')\nsys.exit('no model')")
    process = await launcher.launch(scripted(listener, "unused", spec={"entrypoint": "main.py", "path": (tmp_path,)}))
    assert await process.wait() == Exit(1)
    assert process.output() == "flushed\nno model\n"


async def test_a_missing_entrypoint_file_is_a_launch_error(launcher: Launcher, listener: socket.socket) -> None:
    with pytest.raises(LaunchError, match=r"scripted was not started: its entrypoint nowhere\.py"):
        await launcher.launch(scripted(listener, "unused", spec={"entrypoint": "nowhere.py"}))


async def test_a_bootstrap_document_larger_than_a_pipes_usual_buffer_arrives_whole(
    launcher: Launcher, listener: socket.socket
) -> None:
    process = await launched(launcher, listener, "until_told_to_end", padding="p" * 200_000)
    assert await process.stop(GRACE) == Exit(0)


async def test_closing_the_launcher_ends_every_agent(launcher: Launcher, listener: socket.socket) -> None:
    processes = [await launched(launcher, listener, "ignore_term") for _ in range(3)]
    await launcher.close()
    assert not any(exists(process.pid) for process in processes)
    assert [await process.wait() for process in processes] == [Exit(-signal.SIGKILL)] * 3


async def test_a_real_worker_starts_and_stops(launcher: Launcher, listener: socket.socket) -> None:
    from aitp_playground.hosting.bootstrap import Bootstrap, Telemetry, mint_token
    from aitp_playground.hosting.keys import derive_seed

    port = listener.getsockname()[1]
    bootstrap = Bootstrap(
        run_id="run",
        agent_id="researcher",
        org="internal",
        seed=derive_seed(b"s" * 32, "internal", "run", "researcher", 0),
        signing_suite="ed25519",
        display_name="Research Analyst",
        offered_caps=("research.query",),
        ttl_secs=7200,
        port=port,
        base_url=f"http://localhost:{port}",
        boundary="intra_org",
        admin_token=mint_token(),
        telemetry=Telemetry(url="http://127.0.0.1:9/internal/telemetry", token=mint_token()),
    )
    spec = {
        "entrypoint_type": "python_module",
        "entrypoint": "researcher.main",
        "path": (agents_dir(),),
        "bootstrap": bootstrap.encode(),
        "secrets": bootstrap.secrets(),
    }
    process = await launched(launcher, listener, "unused", spec=spec)
    assert (await process.ready()).aid.startswith("aid:pubkey:")
    assert await process.stop(GRACE) == Exit(0)


@pytest.mark.parametrize(
    ("code", "said"),
    [("def broken(:\n", "SyntaxError: "), ("import reqests_of_nowhere\n", "No module named 'reqests_of_nowhere'")],
)
async def test_what_python_says_of_a_worker_that_it_cannot_run_is_in_the_error(
    launcher: Launcher, listener: socket.socket, tmp_path: Path, code: str, said: str
) -> None:
    (tmp_path / "faulty.py").write_text(f"# token-of-the-agent\n{code}")
    spec = {"entrypoint": "faulty.py", "path": (tmp_path,), "secrets": ("token-of-the-agent", "reqests")}
    process = await launcher.launch(scripted(listener, "report", spec=spec))
    with pytest.raises(LaunchError) as failure:
        await process.ready()
    assert said.replace("reqests", "[redacted]") in failure.value.message
    assert "token-of-the-agent" not in failure.value.message
