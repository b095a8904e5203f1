"""The registry's offers are claims: who is found is alive, signed its own manifest, and offers what was asked for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aitp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from aitp_playground.actors import ActorRef, Supervisor
from aitp_playground.config import Settings
from aitp_playground.cp_client.client import CpClient
from aitp_playground.cp_client.reasons import REASONS
from aitp_playground.net import client_session
from aitp_playground.trust import PeerQuery, ResolvePeers, TrustMessage, TrustOrchestrator
from aitp_playground.trust.cp_registry import MAX_CANDIDATES, unasked

CAPABILITY = "analyze.data"
LOCAL = PeerQuery(
    agent_id="analyzer",
    manifest_url="http://localhost:1/.well-known/aitp-manifest",
    aid="aid:pubkey:local",
    port=1,
    org="external",
    capability=CAPABILITY,
)


class World:
    """A registry with a list of rows, and agents that serve real manifests."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.answer: Callable[[], web.Response] | None = None
        self.asked: list[str] = []
        self.reached = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.servers: list[TestServer] = []
        self.url = ""

    async def registry(self, request: web.Request) -> web.Response:
        self.asked.append(request.query["capability"])
        self.reached.set()
        await self.gate.wait()
        return self.answer() if self.answer else web.json_response({"agents": self.rows})

    async def serve(self, app: web.Application) -> str:
        server = TestServer(app)
        self.servers.append(server)
        await server.start_server()
        return f"http://localhost:{server.port}"

    async def agent(
        self,
        *,
        offers: tuple[str, ...] = (CAPABILITY,),
        tamper: bool = False,
        ttl: int = 3600,
        kind: str = "application/json",
        takes: str | tuple[str, ...] = "pinned_key",
        **shown: str,
    ) -> dict[str, Any]:
        """Start an agent; the row an honest registry shows for it."""
        manifest: list[str] = []  # signed after the start, as it names the port

        async def show(_: web.Request) -> web.Response:
            return web.Response(text=manifest[0], content_type=kind)

        app = web.Application()
        app.router.add_get("/.well-known/aitp-manifest", show)
        endpoint = f"{await self.serve(app)}/aitp/handshake/hello"
        agent = aitp.AitpAgent.from_seed(os.urandom(32))
        signed = agent.build_manifest(
            "elsewhere",
            endpoint,
            list(offers),
            ttl_secs=ttl,
            accepted_identity_types=[takes] if isinstance(takes, str) else list(takes),
            **shown,
        )
        manifest.append(signed.replace("elsewhere", "else_here") if tamper else signed)
        return {"aid": agent.aid, "handshakeEndpoint": endpoint, "offeredCaps": list(offers), "status": "active"}


def dead() -> dict[str, Any]:
    return {"aid": "aid:pubkey:dead", "handshakeEndpoint": f"http://localhost:{unused_port()}/aitp/handshake/hello"}


def home(row: dict[str, Any]) -> str:
    return str(row["handshakeEndpoint"]).replace("/aitp/handshake/hello", "/.well-known/aitp-manifest")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    app = web.Application()
    app.router.add_get("/api/registry/agents", made.registry)
    made.url = await made.serve(app)
    yield made
    for server in made.servers:
        await server.close()


@pytest.fixture
async def trust(world: World, tmp_path: Path) -> AsyncIterator[ActorRef[TrustMessage]]:
    supervisor = Supervisor()
    async with client_session() as http:
        settings = Settings.load(_env_file=None, state_dir=tmp_path, cp_base_url=world.url, cp_timeout_ms=2000)
        cp = CpClient(settings, http)
        yield supervisor.spawn(lambda: TrustOrchestrator(http, cp), name="trust")
        await supervisor.close(5)
        await cp.close()


async def look_up(trust: ActorRef[TrustMessage], query: PeerQuery = LOCAL) -> dict[str, Any]:
    peers = await trust.ask(ResolvePeers("cp_registry", (query,)), timeout=300)
    found: dict[str, Any] = peers[query.agent_id]
    return found


def fell_back(found: dict[str, Any], reason: str) -> bool:
    return (found["source"], found["reason"], found["manifest_url"], found["aid"]) == (
        "static_fallback",
        reason,
        LOCAL.manifest_url,
        LOCAL.aid,
    )


async def test_a_live_agent_that_is_what_it_claims_is_found(world: World, trust: ActorRef[TrustMessage]) -> None:
    world.rows = [await world.agent()]
    found = await look_up(trust)
    assert found == {"manifest_url": home(world.rows[0]), "aid": world.rows[0]["aid"], "source": "cp_registry"}
    assert world.asked == [CAPABILITY]


async def test_either_spelling_of_the_endpoint_is_read(world: World, trust: ActorRef[TrustMessage]) -> None:
    row = await world.agent()
    world.rows = [{"aid": row["aid"], "handshake_endpoint": row["handshakeEndpoint"]}]
    assert (await look_up(trust))["source"] == "cp_registry"


async def test_the_oldest_entry_may_be_dead_and_the_next_one_serves(
    world: World, trust: ActorRef[TrustMessage]
) -> None:
    world.rows = [dead(), await world.agent()]
    found = await look_up(trust)
    assert found["aid"] == world.rows[1]["aid"]
    assert found["tried"] == [{"url": home(world.rows[0]), "reason": "none_alive"}]


async def test_of_several_fit_ones_the_registrys_first_is_taken(world: World, trust: ActorRef[TrustMessage]) -> None:
    world.rows = [await world.agent(), await world.agent()]
    assert (await look_up(trust))["aid"] == world.rows[0]["aid"]


LIES = ["manifest_invalid", "aid_mismatch", "capability_mismatch", "identity_mismatch", "expired", "elsewhere", "text"]


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_is_passed_over_with_its_name(world: World, trust: ActorRef[TrustMessage], lie: str) -> None:
    if lie == "capability_mismatch":
        row = await world.agent(offers=("write.content",))
    else:
        row = await world.agent(
            tamper=lie == "manifest_invalid",
            ttl=-10 if lie == "expired" else 3600,
            kind="text/plain" if lie == "text" else "application/json",
            takes="oidc" if lie == "identity_mismatch" else "pinned_key",
        )
    if lie == "aid_mismatch":
        row["aid"] = aitp.AitpAgent.generate().aid
    if lie == "elsewhere":  # a good manifest, served from where somebody else wants the handshake to go

        async def borrowed(_: web.Request) -> web.Response:
            async with client_session() as http, http.get(home(row)) as answer:
                return web.Response(text=await answer.text())

        app = web.Application()
        app.router.add_get("/.well-known/aitp-manifest", borrowed)
        world.rows = [row | {"handshakeEndpoint": f"{await world.serve(app)}/aitp/handshake/hello"}]
    else:
        world.rows = [row]
    reason = "manifest_invalid" if lie in ("expired", "elsewhere", "text") else lie
    assert fell_back(await look_up(trust), reason)


async def test_nothing_alive_nothing_listed_and_nothing_configured_are_told_apart(
    world: World, trust: ActorRef[TrustMessage]
) -> None:
    assert fell_back(await look_up(trust), "no_match")
    world.answer = lambda: web.Response(status=500)
    assert fell_back(await look_up(trust, peer(capability="other.cap")), "cp_failed:http_5xx")
    world.answer, world.rows = None, [dead()]
    assert fell_back(await look_up(trust, peer(capability="third.cap")), "none_alive")


async def test_ten_thousand_entries_cost_a_bounded_look(world: World, trust: ActorRef[TrustMessage]) -> None:
    world.rows = [dead() | {"handshakeEndpoint": "http://localhost:1/aitp/handshake/hello"}] * 10_000
    found = await look_up(trust)
    assert fell_back(found, "none_alive")
    assert len(found["tried"]) <= MAX_CANDIDATES


@pytest.mark.parametrize("endpoint", [None, 5, "", "ftp://h/x", "file:///etc/passwd", "http://[::", "http://h:99999/"])
async def test_an_endpoint_that_is_none_is_passed_over(
    world: World, trust: ActorRef[TrustMessage], endpoint: Any
) -> None:
    good = await world.agent()
    world.rows = [{"aid": "aid:pubkey:x", "handshakeEndpoint": endpoint}, good]
    assert (await look_up(trust))["aid"] == good["aid"]


async def test_one_is_found_that_takes_all_who_would_greet_it(world: World, trust: ActorRef[TrustMessage]) -> None:
    both = ("pinned_key", "oidc")
    world.rows = [await world.agent(), await world.agent(takes="oidc"), await world.agent(takes=both)]
    for greeted_as, number in (({"pinned_key"}, 0), ({"oidc"}, 1), (set(both), 2)):
        found = await look_up(trust, peer(greeted_as=frozenset(greeted_as)))
        assert found["aid"] == world.rows[number]["aid"]
        assert [one["reason"] for one in found.get("tried", ())] == ["identity_mismatch"] * number


async def test_the_word_of_an_issuer_elsewhere_is_worth_nothing_here(
    world: World, trust: ActorRef[TrustMessage]
) -> None:
    shown = {"identity_type": "oidc", "oidc_issuer": "https://idp.example/", "oidc_subject": "analyzer"}
    world.rows = [await world.agent(**shown)]
    assert fell_back(await look_up(trust), "identity_mismatch")


async def test_simultaneous_look_ups_share_one_request(world: World, trust: ActorRef[TrustMessage]) -> None:
    world.rows = [await world.agent()]
    world.gate.clear()
    asking = [asyncio.ensure_future(look_up(trust)) for _ in range(10)]
    await world.reached.wait()
    world.gate.set()
    found = await asyncio.gather(*asking)
    assert {entry["source"] for entry in found} == {"cp_registry"}
    assert world.asked == [CAPABILITY]


async def test_an_internal_peer_is_not_looked_up(world: World, trust: ActorRef[TrustMessage]) -> None:
    assert (await look_up(trust, peer(org="internal")))["source"] == "static"
    assert not world.asked


def peer(**changes: Any) -> PeerQuery:
    fields = {name: getattr(LOCAL, name) for name in PeerQuery.__slots__}
    return PeerQuery(**fields | changes)


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_a_registry_that_gave_no_answer_is_told_of_once(reason: str) -> None:
    peers = [{"reason": f"cp_failed:{reason}"}, {"reason": f"cp_failed:{reason}"}, {"source": "static"}]
    (told,) = unasked(peers)
    assert (told.type, told.fields["cause"]) == ("cp.degraded", reason)
    assert told.fields["payload"] == {"operation": "discover_by_capability"}


@pytest.mark.parametrize("reason", ["cp_disabled", "no_match", "none_alive", "manifest_invalid"])
def test_a_registry_that_answered_is_not(reason: str) -> None:
    assert unasked([{"reason": reason, "source": "static_fallback"}, {}]) == []
