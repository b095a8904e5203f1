"""``runs``, ``events``, ``narrate`` and ``cancel``: at a server, and without one."""

from __future__ import annotations

import http.server
import json
import threading

from aiohttp.test_utils import unused_port

from .serving import ask, serving
from .shell import Shell

REF = "intra-org/trust-gate@1.0.0"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def test_what_a_server_has_is_shown_as_it_has_it(shell: Shell) -> None:
    with serving(shell) as (_, url):
        ids = []
        for label in ("first", "second"):
            run_id = json.loads(ask(f"{url}/runs", {"scenario_ref": REF, "run_label": label}))["run_id"]
            ask(f"{url}/runs/{run_id}/events")
            ids.insert(0, run_id)
        listed = shell("runs", "--server", url, "--json").stdout.splitlines()
        assert [json.loads(line)["run_id"] for line in listed] == ids
        shown = shell("runs", "--server", url, "-n", "1").stdout
        assert ids[0] in shown
        assert "success, proven" in shown
        assert "second" in shown
        assert shown.count("\n") == 1
        assert shell("runs", "--server", url, "--status", "failed").stdout == ""
        events = shell("events", ids[0], "--server", url, "--json").stdout.splitlines()
        assert [json.loads(line) for line in events] == json.loads(ask(f"{url}/runs/{ids[0]}"))["events"]
        denied = shell("events", ids[0], "--server", url, "--type", "capability.denied").stdout
        assert "no TCT was presented" in denied
        assert denied.count("\n") == 1
        assert shell("narrate", ids[0], "--server", url).stdout.encode() == ask(f"{url}/runs/{ids[0]}/narrate")
        for command in ("events", "narrate", "cancel"):
            refused = shell(command, UNKNOWN, "--server", url)
            assert (refused.returncode, refused.stdout) == (2, ""), command


def test_without_a_server_the_history_of_this_machine_is_shown(shell: Shell) -> None:
    run = json.loads(shell("run", REF, "--json").stdout)
    run_id, nowhere = run["run_id"], {"PORT": str(unused_port())}
    listed = shell("runs", "--json", env=nowhere)
    assert "no playground is at" in listed.stderr
    assert [json.loads(line)["run_id"] for line in listed.stdout.splitlines()] == [run_id]
    events = shell("events", run_id, "--json", env=nowhere).stdout.splitlines()
    assert [json.loads(line) for line in events] == run["events"]
    assert "run success, proven" in shell("narrate", run_id, env=nowhere).stdout
    for command in ("events", "narrate", "cancel"):
        refused = shell(command, UNKNOWN, env=nowhere)
        assert (refused.returncode, refused.stdout) == (2, ""), command
    assert "only a playground that runs" in shell("cancel", run_id, env=nowhere).stderr
    gone = shell("runs", "--server", f"http://127.0.0.1:{nowhere['PORT']}")
    assert (gone.returncode, gone.stdout) == (1, "")


def test_another_program_at_the_address_is_told_from_a_playground(shell: Shell) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as other:
        serving = threading.Thread(target=other.serve_forever)
        serving.start()
        try:
            url = f"http://127.0.0.1:{other.server_address[1]}"
            for command in (["runs"], ["tail"], ["run", REF], ["events", UNKNOWN]):
                done = shell(*command, "--server", url)
                assert done.returncode in (1, 2)
                assert f"{url}{'/events' * (command == ['tail'])} is no playground" in done.stderr
        finally:
            other.shutdown()
            serving.join()


def test_the_beginning_of_an_id_is_enough(shell: Shell) -> None:
    nowhere = {"PORT": str(unused_port())}
    with serving(shell) as (_, url):
        run_id = json.loads(ask(f"{url}/runs", {"scenario_ref": REF}))["run_id"]
        ask(f"{url}/runs/{run_id}/events")
        there = {"PORT": url.rpartition(":")[2]}
        for env in (there, nowhere):
            for command in ("events", "narrate", "tail"):
                assert shell(command, run_id[:8], env=env).stdout == shell(command, run_id, env=env).stdout != ""
                unknown = shell(command, "0" * 8, env=env)
                assert (unknown.returncode, unknown.stdout) == (2, ""), command
                assert "begins with '00000000'" in unknown.stderr
            assert shell("diff", run_id[:8].upper(), run_id, env=env).returncode == 0
        assert "was over before" in shell("cancel", run_id[:13], env=there).stdout
        assert shell("events", run_id[:3]).returncode == 2


def test_a_run_is_cancelled_once(shell: Shell) -> None:
    ref = shell.write_sleeper()
    with serving(shell) as (_, url):
        run_id = json.loads(ask(f"{url}/runs", {"scenario_ref": ref}))["run_id"]
        first, again = shell("cancel", run_id, "--server", url), shell("cancel", run_id, "--server", url)
        assert (first.returncode, first.stdout) == (0, f"run {run_id} is cancelled\n")
        assert (again.returncode, again.stdout) == (1, f"run {run_id} was over before: cancelled\n")


def test_what_is_no_id_of_a_run_is_refused_before_anybody_is_asked(shell: Shell) -> None:
    for command in ("events", "narrate", "cancel"):
        refused = shell(command, "../../etc/passwd")
        assert refused.returncode == 2
        assert "aitp-playground runs" in refused.stderr
