"""``--with-control-plane``: a Control Plane that comes and goes with the command."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from .serving import ask, serving
from .shell import TIMEOUT, Shell, alive, await_end, descendants

DELEGATION = "intra-org/cp-delegation-tree@1.0.0"


def test_a_run_proves_what_needs_a_control_plane_and_tells_what_that_one_saw(shell: Shell) -> None:
    done = shell("run", DELEGATION, "--with-control-plane", "--require-proof")
    assert (done.returncode, done.stderr) == (0, "")
    told = done.stdout[done.stdout.index("the Control Plane on ") :]
    for part in (
        "sessions: 1\n    researcher with writer: complete",
        "delegations: 1\n    researcher to sub-researcher: write.content",
        "writer to researcher: write.content",
    ):
        assert part in told


def test_a_revocation_at_the_control_plane_is_told_with_its_reason(shell: Shell) -> None:
    told = shell("run", "intra-org/revocation-via-cp@1.1.0", "--with-control-plane").stdout
    assert "revocations: 1\n" in told
    assert ": compromised-token" in told
    assert "research.query (revoked)" in told


def test_json_stays_alone_on_stdout(shell: Shell) -> None:
    done = shell("run", "intra-org/external-enrollment@1.0.0", "--with-control-plane", "--json")
    assert json.loads(done.stdout)["outputs"]["self_enroll"]["enrolled"] is True
    assert "agents registered: 1\n    researcher" in done.stderr


def test_a_run_leaves_nothing_of_its_control_plane_behind(shell: Shell) -> None:
    shell("run", DELEGATION, "--with-control-plane")
    assert not list((shell.home / "state").glob("control-plane*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_control_plane_ends_with_the_run_however_that_ends(shell: Shell, number: int) -> None:
    running = shell.start("run", shell.write_sleeper(), "--with-control-plane", "--json")
    assert running.stderr is not None
    while "step work (workflow) started" not in (told := running.stderr.readline()):
        assert told, "the narration ended early"
    [control_plane] = _control_planes(running.pid)
    running.send_signal(number)
    await_end(control_plane)
    # Its stderr is ours: reading to the end is waiting for it.
    running.communicate(timeout=TIMEOUT)


def test_a_server_uses_its_own_control_plane_and_keeps_the_data(shell: Shell) -> None:
    with serving(shell, "--with-control-plane", CP_BASE_URL="http://127.0.0.1:1") as (server, url):
        assert server.stdout is not None
        control_plane = server.stdout.readline().split()[-1]
        health = json.loads(ask(f"{control_plane}/api/health"))
        assert health["ok"] is True
        run_id = json.loads(ask(f"{url}/runs", {"scenario_ref": "intra-org/external-enrollment@1.0.0"}))["run_id"]
        urllib.request.urlopen(f"{url}/runs/{run_id}/events", timeout=TIMEOUT).read()
        run = json.loads(ask(f"{url}/runs/{run_id}"))
        assert run["outputs"]["self_enroll"]["enrolled"] is True
        [process] = _control_planes(server.pid)
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(f"{control_plane}/api/sessions", key="some other key")
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=TIMEOUT)
        assert server.returncode == 0
        assert not alive({process})
    assert (shell.home / "state/control-plane.db").stat().st_mode & 0o777 == 0o600


def test_the_key_is_in_no_argument(shell: Shell) -> None:
    with serving(shell, "--with-control-plane") as (server, _):
        [process] = _control_planes(server.pid)
        arguments = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        assert arguments[-2:] == [b"0", b""], "nothing follows the port"


def test_a_control_plane_that_cannot_start_is_told_and_no_server_is_started(shell: Shell) -> None:
    (shell.home / "state/control-plane.db").mkdir(parents=True)
    done = shell("serve", "--port", "0", "--with-control-plane")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the embedded Control Plane ended with code 2" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_elsewhere_has_no_control_plane_here(shell: Shell) -> None:
    done = shell("run", DELEGATION, "--with-control-plane", "--server", "http://127.0.0.1:1")
    assert done.returncode == 2
    assert "--with-control-plane" in done.stderr


def _control_planes(pid: int) -> list[int]:
    return [child for child in descendants(pid) if b"control-plane" in Path(f"/proc/{child}/cmdline").read_bytes()]
