"""Manifests of delegators: one look for all who wait, and an end to it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from base.protocol import delegators
from base.protocol.delegators import Delegators
from base.protocol.issuer_lists import LOOK_SECS
from base.protocol.peers import Peer, PeerBook
from base.refusals import PeerFailed

BOB = Peer("bob", "aid:bob", "http://localhost:1/.well-known/aitp-manifest")


class Looks:
    """Stands for fetching: each look ends when the gate opens, with the manifest or with what went wrong."""

    def __init__(self) -> None:
        self.begun = 0
        self.first = asyncio.Event()
        self.gate = asyncio.Event()
        self.outcome: Any = SimpleNamespace(raw="the manifest")

    async def fetch(self, _client: Any, peer: Peer, url: str, timeout: float) -> Any:
        assert (peer, url, timeout) == (BOB, BOB.manifest_url, LOOK_SECS)
        self.begun += 1
        self.first.set()
        await self.gate.wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    made = Looks()
    monkeypatch.setattr(delegators, "fetch_manifest", made.fetch)
    return made


def known() -> Delegators:
    peers = PeerBook()
    peers.replace([BOB])
    shared: Any = SimpleNamespace(peers=peers, client=None)
    return Delegators(shared)


async def test_all_who_redeem_of_one_agent_at_once_share_a_look(looks: Looks) -> None:
    delegators = known()
    waiting = [asyncio.ensure_future(delegators.manifest_of(BOB)) for _ in range(20)]
    await asyncio.sleep(0)
    waiting.pop().cancel()
    looks.gate.set()
    assert await asyncio.gather(*waiting) == ["the manifest"] * 19
    assert looks.begun == 1
    await delegators.manifest_of(BOB)
    assert looks.begun == 2, "it may have been revoked, or be another, since"


async def test_what_went_wrong_is_told_to_each_by_itself_and_to_no_peer(looks: Looks) -> None:
    looks.outcome = PeerFailed(
        "http_4xx", "the peer answered 404", url="http://localhost:1/", status=404, peer_code="X"
    )
    looks.gate.set()
    delegators = known()
    told = await asyncio.gather(*(delegators.manifest_of(BOB) for _ in range(2)), return_exceptions=True)
    faults = [fault for fault in told if isinstance(fault, PeerFailed)]
    assert len({id(fault) for fault in faults}) == 2
    for fault in faults:
        assert fault.confidential
        assert (str(fault), fault.details, fault.registry_code) == (
            "the peer answered 404",
            looks.outcome.details,
            "KEY_RESOLUTION_FAILED",
        )


async def test_look_ends_with_its_owner(looks: Looks) -> None:
    delegators = known()
    waiting = asyncio.ensure_future(delegators.manifest_of(BOB))
    await asyncio.wait_for(looks.first.wait(), 60)
    await delegators.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
