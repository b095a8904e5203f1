"""The page on running it for long: its commands do what it says of them."""

from __future__ import annotations

import json
import shlex
import shutil
import stat
import subprocess
from pathlib import Path

from tests.support.shown_commands import commands

from .serving import ask, serving
from .shell import TIMEOUT, Shell

REF = "intra-org/trust-gate@1.0.0"


def test_a_copy_that_was_made_of_a_server_at_work_is_one_to_go_on_from(shell: Shell) -> None:
    copying = [line for line in commands("docs/operations.md", "Back-up") if not line.startswith("aitp-playground")]
    assert len(copying) == 2
    with serving(shell) as (_, url):
        before = shell.document("run", REF, "--server", url, "--json")
        kept = tail_place(url)
        for line in copying:
            subprocess.run(["sh", "-c", line], cwd=shell.home, check=True)
        later = shell.document("run", REF, "--server", url, "--json")
        place = tail_place(url)
    state = shell.home / "state"
    for copy in ("backup.db", "backup.secret"):
        assert stat.S_IMODE((shell.home / copy).stat().st_mode) == 0o600
    shutil.rmtree(state)
    state.mkdir(mode=0o700)
    (shell.home / "backup.db").rename(state / "runs.db")
    secret = (shell.home / "backup.secret").rename(state / "identity.secret").read_bytes()
    with serving(shell) as (_, url):
        for _ in range(2):
            assert shell.document("run", REF, "--server", url, "--json")["status"] == "success"
        assert beyond(place, tail_place(url)), "there are more commits than the reader had seen"
        runs = [json.loads(line) for line in shell("runs", "--json", "--server", url).stdout.splitlines()]
        assert before["run_id"] in {run["run_id"] for run in runs}
        assert later["run_id"] not in {run["run_id"] for run in runs}
        assert (state / "identity.secret").read_bytes() == secret, "it is taken as it is"
        assert ask(f"{url}/events?follow=false&after={place}").startswith(b'data: {"type":"stream.reset"}')
        assert b"stream.reset" not in ask(f"{url}/events?follow=false&after={kept}")


def tail_place(url: str) -> str:
    """Where a reader is who has read everything."""
    told = ask(f"{url}/events?follow=false&after=head").decode()
    return next(line.removeprefix("id: ") for line in told.splitlines() if line.startswith("id: "))


def beyond(place: str, other: str) -> bool:
    return int(other.split(".")[1]) > int(place.split(".")[1])


def test_what_lies_where_is_what_the_page_says(shell: Shell) -> None:
    shell("run", "intra-org/external-enrollment@1.0.0", "--with-control-plane")
    control_plane = shell.start("control-plane", "--port", "0")
    assert control_plane.stdout is not None
    assert "listens on" in control_plane.stdout.readline()
    page = Path(__file__).parents[3].joinpath("docs/operations.md").read_text()
    listed = page.partition("## Where things lie")[2].partition("## Sizes")[0]
    found = {path.name for path in (shell.home / "state").iterdir()}
    control_plane.terminate()
    control_plane.communicate(timeout=TIMEOUT)
    assert "control-plane.db.seed" in found
    assert {name for name in found if f"`{name}`" not in listed and not name.endswith(("-wal", "-shm"))} == set()
    assert shlex.split(commands("docs/operations.md")[0]) == ["aitp-playground", "doctor"]
