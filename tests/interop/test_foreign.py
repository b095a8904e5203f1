"""The foreign agent itself: it owes nothing to the agents it is held against, and it takes what it says itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from aitp_verifier.errors import AitpError

from tests.interop.foreign import manifests
from tests.interop.foreign.agent import ForeignAgent
from tests.interop.foreign.client import Client, Style
from tests.interop.foreign.errors import Refused
from tests.interop.foreign.keys import Key
from tests.interop.foreign.server import Server

FOREIGN = Path(__file__).parent / "foreign"
NOT_ITS_OWN = {"aitp", "aitp_playground", "agents", "base", "researcher", "writer", "analyzer"}
ROOT = Path(__file__).parents[2]


def test_it_imports_neither_the_sdk_nor_the_agents() -> None:
    for file in FOREIGN.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.partition(".")[0] not in NOT_ITS_OWN, file.name
                assert not name.startswith("tests.") or name.startswith("tests.interop.foreign"), file.name


def test_nor_does_anything_that_it_imports() -> None:
    modules = [f"tests.interop.foreign.{file.stem}" for file in FOREIGN.glob("*.py") if file.stem != "__init__"]
    program = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(found.stdout.split())
    assert "tests.interop.foreign.server" in loaded
    assert not loaded & NOT_ITS_OWN


@pytest.mark.parametrize("style", ["rfc", "binding"])
@pytest.mark.parametrize("suite", ["ed25519", "p256"])
async def test_two_of_its_kind_understand_each_other(http: aiohttp.ClientSession, style: Style, suite: str) -> None:
    owner, holder = ForeignAgent("owner"), ForeignAgent("holder", key=Key(suite))  # type: ignore[arg-type]
    stranger = ForeignAgent("stranger")
    server = Server(owner, style)
    await server.start()
    try:
        owner.trusted.add(holder.aid)
        client = Client(holder, http, owner.base_url, owner.aid, style)
        granted = await client.shake(["far.look"])
        assert (await client.call("far.look")).status == 200
        assert client.told(await client.call("far.touch")).code == "POLICY_VIOLATION"
        redeeming = Client(stranger, http, owner.base_url, owner.aid, style)
        redeemed = await redeeming.redeem(holder.delegate(owner.aid, stranger.aid, ["far.look"]))
        assert (await redeeming.call("far.look", tct=redeemed.body["tct"])).status == 200
        thief = Client(ForeignAgent("thief"), http, owner.base_url, owner.aid, style)
        stolen = holder.delegate(owner.aid, stranger.aid, ["far.look"])
        assert thief.told(await thief.redeem(stolen)).code == "DELEGATION_POP_FAILED"
        unsigned = await redeeming.redeem(stolen, pop_signature=holder.key.sign(b"something else"))
        assert redeeming.told(unsigned).code == "DELEGATION_POP_FAILED"
        initiator = await client.begin()
        hello = initiator.hello()
        assert [(await client.send_hello(initiator, hello)).status for _ in range(2)] == [200, 400]
        owner.revoke(granted.jti)
        assert client.told(await client.call("far.look")).code == "TCT_REVOKED"
        with pytest.raises(Refused) as unknown:
            await redeeming.shake()
        assert unknown.value.told.code == "IDENTITY_FAILED"
        assert unknown.value.told.form == ("envelope" if style == "rfc" else "body")
    finally:
        await server.close()


def test_it_notices_a_manifest_that_was_tampered_with() -> None:
    agent = ForeignAgent()
    manifests.read({"manifest": agent.manifest()}, agent.aid, agent.now())
    with pytest.raises(AitpError):
        manifests.read({"manifest": agent.manifest() | {"display_name": "x"}}, agent.aid, agent.now())
