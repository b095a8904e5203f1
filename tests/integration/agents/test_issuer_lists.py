"""A peer's own revocation list is there before its token is taken, in both roles and when redeeming."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aitp
import pytest
from aiohttp import web

from base.protocol.list_fetching import MAX_PEER_LIST
from tests.integration.agents.harness import (
    Answer,
    MaliciousResponder,
    Pair,
    SdkPeer,
    Start,
    TelemetrySink,
    WorkerProcess,
    claims_of,
    introduce,
)

LIST = aitp.REVOCATION_LIST_PATH
COMMIT = "/aitp/handshake/commit"
OPEN = {"fail_mode": "fail_open", "max_staleness_secs": 300, "poll_secs": 60, "issuer_fail_mode": "fail_open"}


class ListServer:
    """A peer's list where its manifest says it is. ``served`` makes each answer; ``asked`` counts the requests."""

    def __init__(self) -> None:
        self.asked = 0
        self.served: Callable[[], Any] = lambda: self.peer.revocation_list()
        self._runner: web.AppRunner | None = None

    async def start(self, peer: SdkPeer) -> None:
        self.peer = peer
        app = web.Application()
        app.router.add_get("/here/is/the-list", self._list)
        app.router.add_get("/.well-known/aitp-manifest", self._manifest)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.peer.list_url = f"http://localhost:{self._runner.addresses[0][1]}/here/is/the-list"
        self.peer.build()

    async def close(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    async def _manifest(self, _request: web.Request) -> web.Response:
        return web.Response(text=self.peer.manifest, content_type="application/json")

    async def _list(self, _request: web.Request) -> web.Response:
        self.asked += 1
        given = self.served()
        if asyncio.iscoroutine(given):
            given = await given
        return given if isinstance(given, web.Response) else web.Response(text=given)


@pytest.fixture
def bob() -> SdkPeer:
    """A peer that is no worker."""
    return SdkPeer("bob", ["demo.echo"])


@pytest.fixture
async def elsewhere() -> AsyncIterator[ListServer]:
    """To be started for a peer."""
    server = ListServer()
    yield server
    await server.close()


@pytest.fixture
async def lists(bob: SdkPeer, elsewhere: ListServer) -> ListServer:
    """Bob's."""
    await elsewhere.start(bob)
    return elsewhere


Responding = Callable[[WorkerProcess], Awaitable[MaliciousResponder]]


@pytest.fixture
async def responding(bob: SdkPeer) -> AsyncIterator[Responding]:
    """Have Bob answer handshakes of a worker."""
    made: list[MaliciousResponder] = []

    async def answer(worker: WorkerProcess) -> MaliciousResponder:
        made.append(MaliciousResponder(bob, worker.aid))
        await made[-1].start()
        await introduce(worker, bob)
        return made[-1]

    yield answer
    for served in made:
        await served.close()


async def shake(worker: WorkerProcess, peer: str = "bob") -> Answer:
    return await worker.admin("initiate-handshake", {"peer": peer})


async def commit(bob: SdkPeer, worker: WorkerProcess) -> Answer:
    """Bob's handshake with the worker, as far as the answer to the commit."""
    _, message, session_id = await bob.open(worker)
    return await worker.request("POST", COMMIT, message, {"X-Aitp-Session-Id": session_id})


def code(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.body["error"]["code"]


async def never() -> str:
    await asyncio.Event().wait()
    raise AssertionError


def unusable(kind: str, bob: SdkPeer) -> Any:
    """What a list can be instead of good, and the reason that is told for it."""
    return {
        "status": ("http_5xx", lambda: web.Response(status=503)),
        "hangs": ("timeout", never),
        "forged": ("issuer_mismatch", lambda: SdkPeer("other").revocation_list()),
        "large": ("too_large", lambda: bob.revocation_list() + " " * MAX_PEER_LIST),
        "expired": ("expired", lambda: bob.revocation_list(published_at=1_000_000, expires_at=2_000_000)),
    }[kind]


KINDS = ["status", "hangs", "forged", "large", "expired"]


async def test_each_side_of_a_handshake_fetches_the_others_list_once(pair: Pair, sink: TelemetrySink) -> None:
    alice, bob = pair
    for _ in range(3):
        assert (await shake(alice)).status == 200
    events = await sink.wait_for("revocation.list_fetched", 2)
    await asyncio.gather(alice.admin("flush", {}), bob.admin("flush", {}))
    told = {(event["source_url"], event["payload"]["issuer"], event["payload"]["peer"]) for event in events}
    assert told == {(bob.base_url + LIST, bob.aid, "bob"), (alice.base_url + LIST, alice.aid, "alice")}
    assert len(sink.of_type("revocation.list_fetched")) == 2
    assert not sink.of_type("revocation.refresh_failed")


@pytest.mark.parametrize("kind", KINDS)
async def test_initiator_takes_no_token_without_the_list_that_the_responder_advertises(
    start: Start, responding: Responding, sink: TelemetrySink, bob: SdkPeer, lists: ListServer, kind: str
) -> None:
    cause, lists.served = unusable(kind, bob)
    alice = await start("alice")
    await responding(alice)
    answer = await shake(alice)
    assert code(answer) == (403, "revocation_unknown")
    assert cause in answer.body["error"]["message"]
    called = await alice.admin("invoke", {"peer": "bob", "capability": "demo.echo", "input": {}})
    assert called.body["error"]["code"] == "no_tct_held"
    [event] = await sink.wait_for("handshake.failed")
    assert event["payload"]["code"] == "revocation_unknown"
    [told] = [event for event in sink.events if event["type"].startswith("revocation.")]
    assert (told["cause"], told["source_url"], told["payload"]["fail_mode"]) == (cause, bob.list_url, "fail_closed")
    lists.served = bob.revocation_list
    assert (await shake(alice)).status == 200


@pytest.mark.parametrize("kind", KINDS)
async def test_responder_takes_no_token_without_the_list_that_the_initiator_advertises(
    start: Start, sink: TelemetrySink, bob: SdkPeer, lists: ListServer, kind: str
) -> None:
    cause, lists.served = unusable(kind, bob)
    alice = await start("alice")
    await introduce(alice, bob)
    assert code(await commit(bob, alice)) == (400, "TCT_REVOKED")
    [event] = await sink.wait_for("handshake.failed")
    assert (event["payload"]["code"], event["payload"]["refused_by"]) == ("revocation_unknown", "responder")
    [told] = [event for event in sink.events if event["type"].startswith("revocation.")]
    assert (told["cause"], told["payload"]["peer"], told["payload"]["fail_mode"]) == (cause, "bob", "fail_closed")
    lists.served = bob.revocation_list
    assert (await commit(bob, alice)).status == 200


@pytest.mark.parametrize("kind", ["status", "forged"])
async def test_agent_that_fails_open_goes_on_and_says_so(
    start: Start, responding: Responding, sink: TelemetrySink, bob: SdkPeer, lists: ListServer, kind: str
) -> None:
    cause, lists.served = unusable(kind, bob)
    alice = await start("alice", revocation=OPEN)
    await responding(alice)
    assert (await shake(alice)).status == 200
    assert (await commit(bob, alice)).status == 200
    await alice.admin("flush", {})
    told = [event for event in sink.events if event["type"].startswith("revocation.")]
    assert {(event["cause"], event["payload"]["fail_mode"]) for event in told} == {(cause, "fail_open")}


async def test_token_that_is_on_its_issuers_list_is_refused_by_the_initiator(
    start: Start, responding: Responding, bob: SdkPeer, lists: ListServer
) -> None:
    alice = await start("alice")
    served = await responding(alice)
    issued: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def revoke_at_once(route: str, text: str) -> str:
        if route == "commit_ack":
            issued.set_result(claims_of(json.loads(text)["payload"]["tct"])["jti"])
        return text

    async def list_with_it() -> str:
        return bob.revocation_list(await issued)

    served.tamper, lists.served = revoke_at_once, list_with_it
    answer = await shake(alice)
    assert (answer.status, answer.body["error"]["details"]["code"]) == (502, "TCT_REVOKED")


async def test_token_that_is_on_its_issuers_list_is_refused_by_the_responder(
    start: Start, bob: SdkPeer, lists: ListServer
) -> None:
    alice = await start("alice")
    await introduce(alice, bob)
    issued: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def list_with_it() -> str:
        return bob.revocation_list(await issued)

    lists.served = list_with_it
    _, message, session_id = await bob.open(alice)
    issued.set_result(claims_of(json.loads(message)["payload"]["tct"])["jti"])
    answer = await alice.request("POST", COMMIT, message, {"X-Aitp-Session-Id": session_id})
    assert code(answer) == (400, "TCT_REVOKED")


async def test_handshakes_that_go_on_at_once_share_one_look(
    start: Start, responding: Responding, bob: SdkPeer, lists: ListServer
) -> None:
    alice = await start("alice")
    served = await responding(alice)
    hellos, both_there = 0, asyncio.Event()

    def count(route: str, text: str) -> str:
        nonlocal hellos
        hellos += route == "ack"
        if hellos == 2:
            both_there.set()
        return text

    async def when_both_are_there() -> str:
        await both_there.wait()
        return bob.revocation_list()

    served.tamper, lists.served = count, when_both_are_there
    answers = await asyncio.gather(shake(alice), shake(alice))
    assert [answer.status for answer in answers] == [200, 200]
    assert lists.asked == 1
    assert (await commit(bob, alice)).status == 200
    assert lists.asked == 1, "it is known for a while"


async def test_peer_that_advertises_no_list_is_gone_on_with_and_named(
    start: Start, responding: Responding, sink: TelemetrySink, bob: SdkPeer
) -> None:
    alice = await start("alice")
    await responding(alice)
    assert (await shake(alice)).status == 200
    assert (await commit(bob, alice)).status == 200
    events = await sink.wait_for("revocation.refresh_failed", 2)
    told = {(event["cause"], event["payload"]["peer"], event["payload"]["issuer"]) for event in events}
    assert told == {("not_advertised", "bob", bob.aid)}


async def test_list_tells_which_tokens_that_are_held_it_is_the_first_to_deny(pair: Pair, sink: TelemetrySink) -> None:
    alice, bob = pair
    jti = (await shake(alice)).body["received"]["jti"]
    assert (await bob.admin("revoke-tct", {"audience": "alice"})).status == 200
    for _ in range(2):
        assert (await alice.admin("refresh-revocations", {"from": "issuer", "peer": "bob", "jti": jti})).status == 200
    await alice.admin("flush", {})
    told = [event for event in sink.of_type("revocation.list_fetched") if event["payload"]["issuer"] == bob.aid]
    assert [event["payload"].get("denied") for event in told] == [None, [jti], None]


async def test_address_that_a_stranger_names_is_not_visited_and_its_token_not_kept(
    start: Start, sink: TelemetrySink, bob: SdkPeer, lists: ListServer
) -> None:
    host = await start("host", accept="any-verified")
    assert (await commit(bob, host)).status == 200
    [event] = await sink.wait_for("revocation.refresh_failed")
    assert event["cause"] == "not_introduced"
    assert lists.asked == 0
    other = SdkPeer("carol")
    await introduce(host, other)
    told = {"delegatee": "carol", "via_peer": bob.aid, "scope": ["demo.echo"]}
    assert code(await host.admin("delegate", told)) == (409, "no_voucher_held")


async def test_stranger_that_is_introduced_meanwhile_has_its_list_looked_at(
    start: Start, bob: SdkPeer, lists: ListServer
) -> None:
    host = await start("host", accept="any-verified")
    lists.served = lambda: web.Response(status=503)
    _, message, session_id = await bob.open(host)
    await introduce(host, bob)
    answer = await host.request("POST", COMMIT, message, {"X-Aitp-Session-Id": session_id})
    assert code(answer) == (400, "TCT_REVOKED")
    assert lists.asked == 1


async def test_address_that_is_none_is_a_list_that_cannot_be_had(start: Start, bob: SdkPeer) -> None:
    bob.list_url = "ldap://localhost/list"
    bob.build()
    alice = await start("alice")
    await introduce(alice, bob)
    assert code(await commit(bob, alice)) == (400, "TCT_REVOKED")


async def test_delegatee_takes_no_token_without_the_owners_list(start: Start, elsewhere: ListServer) -> None:
    """The owner is a worker; a manifest of its that is found elsewhere names another list."""
    owner, delegator, delegatee = await asyncio.gather(start("owner"), start("delegator"), start("delegatee"))
    twin = SdkPeer("owner", ["demo.echo"])
    twin.agent = aitp.AitpAgent.from_seed(owner.seed)
    twin.base_url = owner.base_url
    await elsewhere.start(twin)
    elsewhere.served = lambda: web.Response(status=404)
    await introduce(owner, delegator, delegatee)
    await delegator.admin("initiate-handshake", {"peer": "owner", "direction": "one"})
    body = {"delegatee": "delegatee", "via_peer": "owner", "scope": ["demo.echo"]}
    assert twin.list_url is not None
    moved = twin.list_url.replace("/here/is/the-list", "/.well-known/aitp-manifest")

    async def redeem(ttl_secs: int) -> Answer:
        token = (await delegator.admin("delegate", body | {"ttl_secs": ttl_secs})).body["delegation_token"]
        told = {"target": "owner", "delegation_token": token, "manifest_url": moved}
        return await delegatee.admin("redeem-delegation", told)

    assert code(await redeem(600)) == (403, "revocation_unknown")
    called = await delegatee.admin("invoke", {"peer": "owner", "capability": "demo.echo", "input": {}})
    assert called.body["error"]["code"] == "no_tct_held"
    elsewhere.served = twin.revocation_list
    assert (await redeem(700)).status == 200
    assert elsewhere.asked == 2


async def test_delegatee_finds_the_owners_list_by_its_manifest(start: Start, sink: TelemetrySink) -> None:
    owner, delegator, delegatee = await asyncio.gather(start("owner"), start("delegator"), start("delegatee"))
    await introduce(owner, delegator, delegatee)
    await delegator.admin("initiate-handshake", {"peer": "owner", "direction": "one"})
    body = {"delegatee": "delegatee", "via_peer": "owner", "scope": ["demo.echo"]}
    for ttl_secs in (600, 700):
        token = (await delegator.admin("delegate", body | {"ttl_secs": ttl_secs})).body["delegation_token"]
        answer = await delegatee.admin("redeem-delegation", {"target": "owner", "delegation_token": token})
        assert answer.status == 200
    await delegatee.admin("flush", {})
    mine = [event for event in sink.of_type("revocation.list_fetched") if event["source_url"] == owner.base_url + LIST]
    assert len(mine) == 2, "the delegator's in its handshake, and the delegatee's, once"
