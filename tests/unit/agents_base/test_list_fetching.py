"""Lists are verified one after another, and each peer's no faster than it may have attention."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from base.http.peer_client import MAX_ANSWER, Answer
from base.process.bootstrap import RevocationConfig
from base.protocol.list_fetching import BYTES_PER_PART, MAX_PEER_LIST, VERIFIED_PER_SECOND, ListFetcher
from base.protocol.revocation import RevocationState
from tests.integration.agents.harness import SdkPeer


class Bench:
    """A fetcher whose clock moves only when it waits. ``served`` is what every address answers."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        self.served = ""
        client: Any = SimpleNamespace(get=self._get)
        telemetry: Any = None
        state = RevocationState(RevocationConfig("fail_open", 300, 60), None)
        self.fetcher = ListFetcher(state, client, telemetry, lambda: self.now, self._sleep)

    async def _get(self, url: str, **_options: Any) -> Answer:
        return Answer(url, 200, self.served.encode(), {"Content-Type": "application/json"})

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    async def look(self, peer: SdkPeer, most: int = MAX_PEER_LIST) -> str | None:
        return (await self.fetcher.fetch("http://localhost:1/list", peer.aid, most=most)).cause


@pytest.mark.parametrize("good", [True, False], ids=["good for a second", "forged"])
async def test_whoever_serves_large_lists_waits_for_the_next_look_and_nobody_else_does(good: bool) -> None:
    bench, mallory, bob = Bench(), SdkPeer("mallory"), SdkPeer("bob")
    large = (mallory if good else bob).revocation_list() + " " * (MAX_PEER_LIST // 2)
    for _ in range(3):
        bench.served = large
        assert await bench.look(mallory) == (None if good else "issuer_mismatch")
        bench.served = bob.revocation_list()
        assert await bench.look(bob) is None
    seconds = len(large) / VERIFIED_PER_SECOND
    assert [wait for wait in bench.waits if wait > 0.1] == pytest.approx([seconds] * 2, abs=0.1)


async def test_small_lists_are_hardly_waited_for_and_what_was_paid_is_forgotten() -> None:
    bench, bob = Bench(), SdkPeer("bob")
    bench.served = bob.revocation_list()
    for _ in range(5):
        assert await bench.look(bob) is None
    assert sum(bench.waits) < 0.01
    bench.now += 1
    assert await bench.look(SdkPeer("other")) == "issuer_mismatch"
    assert len(bench.fetcher._due) == 1


async def test_the_control_planes_list_is_waited_for_by_nobody() -> None:
    bench, cp = Bench(), SdkPeer("cp")
    bench.served = cp.revocation_list() + " " * (4 * MAX_PEER_LIST)
    for _ in range(3):
        assert await bench.look(cp, MAX_ANSWER) is None
    assert not bench.waits


@pytest.mark.parametrize("part", ["[]", "{}", "0"])
async def test_list_of_more_parts_than_lines_could_have_is_not_read(part: str) -> None:
    bench, bob = Bench(), SdkPeer("bob")
    parts = ",".join([part] * (MAX_PEER_LIST // BYTES_PER_PART + 1))
    bench.served = bob.revocation_list()[:-1] + f', "x": [{parts}]}}'
    assert await bench.look(bob) == "too_large"
    bench.served = bob.revocation_list(*(f"{number:08x}-0000-4000-8000-000000000000" for number in range(5000)))
    assert await bench.look(bob) is None
