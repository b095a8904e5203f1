"""Where peers are: static addresses, DID documents of a real server, and what becomes of those that lead nowhere."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from aitp_playground.actors import ActorRef, Supervisor
from aitp_playground.config import Settings
from aitp_playground.cp_client.client import CpClient
from aitp_playground.net import client_session
from aitp_playground.trust import PeerQuery, ResolvePeers, TrustMessage, TrustOrchestrator
from aitp_playground.trust.did_web import MAX_DOCUMENT

Serve = Callable[[web.Response], Awaitable[int]]


@pytest.fixture
async def trust(tmp_path: Path) -> AsyncIterator[ActorRef[TrustMessage]]:
    supervisor = Supervisor()
    async with client_session() as http:
        nobody = CpClient(Settings.load(_env_file=None, state_dir=tmp_path, cp_base_url=""), http)
        yield supervisor.spawn(lambda: TrustOrchestrator(http, nobody), name="trust")
        await supervisor.close(5)
        await nobody.close()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serve one answer as the DID document; the port."""
    servers: list[TestServer] = []

    async def start(answer: web.Response) -> int:
        async def handle(_: web.Request) -> web.Response:
            return answer

        app = web.Application()
        app.router.add_get("/.well-known/did.json", handle)
        servers.append(server := TestServer(app))
        await server.start_server()
        assert server.port is not None
        return server.port

    yield start
    for server in servers:
        await server.close()


def peer(port: int, **changes: Any) -> PeerQuery:
    return PeerQuery(
        **{
            "agent_id": "writer",
            "manifest_url": f"http://localhost:{port}/own",
            "aid": "aid:pubkey:w",
            "port": port,
            "did_web_host": "localhost",
            **changes,
        }
    )


async def resolve(trust: ActorRef[TrustMessage], query: PeerQuery, discovery: str = "did_web") -> Mapping[str, Any]:
    found: Mapping[str, Mapping[str, Any]] = await trust.ask(ResolvePeers(discovery, (query,)), timeout=300)
    return found[query.agent_id]


def document(port: int, **changes: Any) -> str:
    service = {"id": "#aitp", "type": "AitpManifest", "serviceEndpoint": f"http://localhost:{port}/named"}
    return json.dumps({"id": f"did:web:localhost%3A{port}", "service": [service], **changes})


async def test_a_did_document_names_the_manifest(trust: ActorRef[TrustMessage], serve: Serve) -> None:
    answer = web.Response()
    port = await serve(answer)
    answer.text = document(port)
    assert await resolve(trust, peer(port)) == {
        "manifest_url": f"http://localhost:{port}/named",
        "source": "did_web",
        "aid": "aid:pubkey:w",
        "did": f"did:web:localhost%3A{port}",
    }


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (web.Response(status=404), "answered 404"),
        (web.Response(status=302, headers={"Location": "http://localhost:1/"}), "answered 302"),
        (web.Response(text="<html>"), "not a JSON object"),
        (web.Response(text="[" * 60_000), "not a JSON object"),
        (web.Response(body=b"\xff\xfe"), "not a JSON object"),
        (web.Response(text=json.dumps({"id": "did:web:mallory.example"})), "describes 'did:web:mallory.example'"),
        (web.Response(text=" " * (MAX_DOCUMENT + 1)), "could not be fetched"),
    ],
    ids=["missing", "moved", "html", "brackets", "bytes", "another", "large"],
)
async def test_a_document_that_leads_nowhere_falls_back_to_where_the_agent_was_launched(
    trust: ActorRef[TrustMessage], serve: Serve, answer: web.Response, says: str
) -> None:
    port = await serve(answer)
    found = await resolve(trust, peer(port))
    assert (found["source"], found["reason"]) == ("static_fallback", "did_unresolvable")
    assert found["manifest_url"] == f"http://localhost:{port}/own"
    assert says in found["tried"]


@pytest.mark.parametrize("service", [None, 5, [5], [{"type": "Other"}], [{"type": "AitpManifest"}]])
async def test_a_document_without_the_service_falls_back(
    trust: ActorRef[TrustMessage], serve: Serve, service: Any
) -> None:
    answer = web.Response()
    port = await serve(answer)
    answer.text = document(port, service=service)
    assert "names no AitpManifest service" in (await resolve(trust, peer(port)))["tried"]


async def test_a_peer_without_a_did_and_a_static_scenario_ask_nobody(trust: ActorRef[TrustMessage]) -> None:
    static = {"manifest_url": "http://localhost:1/own", "source": "static", "aid": "aid:pubkey:w"}
    assert await resolve(trust, peer(1, did_web_host=None)) == static
    assert await resolve(trust, peer(1), discovery="static") == static
    fallback = await resolve(trust, peer(1, org="external"), discovery="cp_registry")
    assert (fallback["source"], fallback["reason"]) == ("static_fallback", "cp_disabled")


async def test_an_address_that_is_none_falls_back_too(trust: ActorRef[TrustMessage]) -> None:
    for host in ("not a host", "example.com:99999", "[::1"):
        assert (await resolve(trust, peer(1, did_web_host=host)))["reason"] == "did_unresolvable"
