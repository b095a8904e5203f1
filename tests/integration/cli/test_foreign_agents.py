"""The page for agents of other makes: its script speaks with a lone agent, and what it says of enrolling is so."""

from __future__ import annotations

import ast
import asyncio
import importlib.metadata
import json
import re
import shlex
import subprocess
import sys
import urllib.request
from typing import Any

import pytest
from aiohttp import web

from tests.interop.foreign.agent import ForeignAgent
from tests.interop.foreign.client import Style
from tests.interop.foreign.server import Server
from tests.support.shown_commands import ROOT, commands

from .shell import TIMEOUT, Shell
from .test_agent import FEDERATED, Agent, ControlPlane, agent, control_plane

__all__ = ["control_plane"]

PAGE = (ROOT / "docs/foreign-agents.md").read_text(encoding="utf-8")
[SCRIPT] = re.findall(r"```python\n(# foreign\.py\n.*?)```", PAGE, re.DOTALL)
[STARTED] = commands("docs/foreign-agents.md", "An agent to speak with")
[ASKED] = commands("docs/foreign-agents.md", "All of it in one script")

#: The script as it stands, and in the other ways that the page names.
WAYS = {
    "one-endpoint": {},
    "base": {"ask(hello_at,": 'ask(hello_at + "hello",', "ask(commit_at,": 'ask(commit_at + "commit",'},
    "mixed": {"ask(hello_at,": 'ask(hello_at + "hello",'},
    "bare": {'PoP-Response"] = b64(canonical(envelope("pop_response", proof)))': 'PoP"] = b64(canonical(proof))'},
}


def speak(shell: Shell, found: Agent, text: str = SCRIPT) -> subprocess.CompletedProcess[str]:
    """Run the script as the page does, in a directory in which nothing of this project is."""
    (shell.home / "foreign.py").write_text(text, encoding="utf-8")
    program, *args = shlex.split(ASKED.replace("http://localhost:8200", found.url))
    assert program == "python3"
    return subprocess.run(
        [sys.executable, *args], cwd=shell.home, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )


def test_the_script_of_the_page_shakes_hands_with_a_lone_agent_and_calls_it(shell: Shell) -> None:
    program, command, *args = shlex.split(STARTED.replace("--port 8200", "--port 0"))
    assert (program, command) == ("aitp-playground", "agent")
    with agent(shell, *args) as found:
        for way, changes in WAYS.items():
            text = SCRIPT
            for old, new in changes.items():
                assert text.count(old) == 1, way
                text = text.replace(old, new)
            done = speak(shell, found, text)
            assert done.returncode == 0, f"{way}: {done.stderr}"
            claims, _, answer = done.stdout.partition("\n}\n")
            assert json.loads(claims + "}")["grants"] == ["analyze.data"]
            assert json.loads(answer)["risks"]
        _, _, err = found.end()
    logged = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    told = ["stranger.accepted", "revocation.refresh_failed", "handshake.answered", "capability.invoked"]
    assert [line["event"] for line in logged] == told * len(WAYS)
    answered = [line for line in logged if line["event"] == "handshake.answered"]
    assert {line["level"] for line in answered} == {"info"}
    assert all(line["grants"] == ["analyze.data"] and line["jti"] for line in answered)


def test_the_script_needs_nothing_but_what_the_page_says() -> None:
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(SCRIPT))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - sys.stdlib_module_names == {"cryptography"}


@pytest.mark.parametrize("page", ["foreign-agents.md", "aitp-integration.md"])
def test_the_specification_is_where_the_metadata_of_the_verifier_says(page: str) -> None:
    urls = importlib.metadata.metadata("aitp-verifier").get_all("Project-URL") or []
    [named] = [url.partition(", ")[2] for url in urls if url.startswith("Specification, ")]
    assert f"`{named}`" in (ROOT / "docs" / page).read_text(encoding="utf-8")


class Analyst(Server):
    """An agent of another make that takes any key, and finds no risk in anything."""

    def _known(self, aid: str) -> str:
        self.agent.trusted.add(aid)
        return aid

    async def _capability(self, request: web.Request) -> web.StreamResponse:
        answer = await super()._capability(request)
        return web.json_response({"risks": []}) if answer.status == 200 else answer


def post(url: str, body: bytes, **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        return answer.status, json.loads(answer.read())


def enrol(url: str, body: bytes) -> None:
    """As the page says."""
    status, given = post(f"{url}/api/registry/enroll", body)
    assert (status, given.keys()) == (200, {"token", "expiresIn", "aid"})
    status, entry = post(f"{url}/api/registry/agents", body, Authorization=f"Bearer {given['token']}")
    assert (status, entry.keys()) == (201, {"aid", "displayName", "registeredAt"})


@pytest.mark.parametrize("style", ["rfc", "binding"])
async def test_an_enrolled_agent_of_another_make_is_found_and_called(
    shell: Shell, control_plane: ControlPlane, style: Style
) -> None:
    server = Analyst(ForeignAgent(offered=["analyze.data", "far.look"]), style)
    await server.start()
    try:
        body = json.dumps({"manifest": server.agent.manifest()}).encode()
        await asyncio.to_thread(enrol, control_plane.url, body)
        run = await asyncio.to_thread(
            shell.document, "run", FEDERATED, "--require-proof", "--json", env=control_plane.env
        )
    finally:
        await server.close()
    assert (run["status"], run["proof"]) == ("success", "proven")
    assert server.served
    [hello] = server.messages("mutual_hello")
    assert hello["payload"]["requested_grants"] == ["analyze.data", "far.look"]
