"""Looks at peers' lists: shared, bounded in time, owned, and settled by what is known at the end."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from base.process.bootstrap import RevocationConfig
from base.protocol import issuer_lists, revocation_lists
from base.protocol.issuer_lists import IssuerLists
from base.protocol.list_fetching import MAX_PEER_LIST, Fetched
from base.protocol.peers import Peer, PeerBook
from base.protocol.revocation import RevocationState
from base.protocol.revocation_lists import SignedList
from base.refusals import Refusal

BOB = Peer("bob", "aid:bob", "http://localhost:1/.well-known/aitp-manifest")
URL = "http://localhost:1/list"
NOW = 1_800_000_000


class Fetcher:
    """Answers fetches one after the other with ``answers``, each once ``gate`` is open."""

    def __init__(self, state: RevocationState) -> None:
        self.state = state
        self.answers: list[Fetched | SignedList] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = asyncio.Event()
        self.told: list[tuple[str, Any, dict[str, Any]]] = []

    async def fetch(self, _url: str, issuer: str, *, most: int) -> Fetched:
        assert most == MAX_PEER_LIST
        self.begun.set()
        await self.gate.wait()
        answer = self.answers.pop(0)
        if isinstance(answer, SignedList):
            self.state.list_of(issuer).take(answer, 300)
            return Fetched("revocation.list_fetched", {"count": 0})
        return answer

    def report(self, fetched: Fetched, _url: str | None, *, of_stranger: bool = False, **fields: Any) -> None:
        assert of_stranger == (fetched.cause == "not_introduced")
        self.told.append((fetched.event, fetched.cause, fields))


class Clock(SimpleNamespace):
    """Stands still unless a test moves it."""

    def at(self, later: float) -> None:
        self.time, self.monotonic = (lambda: NOW + later), (lambda: 1000.0 + later)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stopped = Clock()
    stopped.at(0)
    monkeypatch.setattr(revocation_lists, "time", stopped)
    return stopped


def looking(mode: Any = "fail_closed") -> tuple[IssuerLists, Fetcher]:
    config = RevocationConfig("fail_open", 300, 60, issuer_fail_mode=mode)
    state, peers = RevocationState(config, None), PeerBook()
    peers.replace([BOB])
    fetcher: Any = Fetcher(state)
    nowhere: Any = None
    return IssuerLists(config, peers, state, fetcher, nowhere), fetcher


def good(later: float = 0, life: float = 300) -> SignedList:
    return SignedList(int(NOW + later), int(NOW + later + life), {})


GONE = Fetched.failed("refused")


async def test_list_is_not_fetched_again_while_it_is_recent(clock: Clock) -> None:
    lists, fetcher = looking()
    fetcher.answers = [good(), good(61)]
    for later in (0, 30, 60, 61):
        clock.at(later)
        await lists.begin(BOB, URL).settle()
    assert not fetcher.answers
    assert [event for event, _, _ in fetcher.told] == ["revocation.list_fetched"] * 2


async def test_a_look_anew_joins_none_that_is_going_on(clock: Clock) -> None:
    lists, fetcher = looking()
    fetcher.answers = [good(), good(1)]
    fetcher.gate.clear()
    begun, also = lists.begin(BOB, URL), lists.begin(BOB, URL)
    assert begun.task is also.task
    anew = lists.begin(BOB, URL, anew=True)
    assert anew.task is not begun.task
    fetcher.gate.set()
    for look in (begun, also, anew):
        await look.settle()
    assert not fetcher.answers, "two were fetched"


async def test_list_is_fetched_again_when_it_has_expired(clock: Clock) -> None:
    lists, fetcher = looking()
    fetcher.answers = [good(life=10), good(11)]
    for later in (0, 11):
        clock.at(later)
        await lists.begin(BOB, URL).settle()
    assert not fetcher.answers


@pytest.mark.parametrize("second", [GONE, good(90)])
async def test_exchange_that_takes_long_is_not_settled_by_what_was_known_at_its_beginning(
    clock: Clock, second: Any
) -> None:
    lists, fetcher = looking()
    fetcher.answers = [good(life=80), second]
    look = lists.begin(BOB, URL)
    await asyncio.wait_for(fetcher.begun.wait(), 60)
    clock.at(90)
    if second is GONE:
        with pytest.raises(Refusal, match="refused"):
            await look.settle()
    else:
        await look.settle()
    assert not fetcher.answers


async def test_list_that_cannot_be_had_now_is_made_up_for_by_one_that_is_fresh(clock: Clock) -> None:
    lists, fetcher = looking()
    fetcher.answers = [good(), GONE, GONE]
    await lists.begin(BOB, URL).settle()
    clock.at(200)
    await lists.begin(BOB, URL).settle()
    assert "fail_mode" not in fetcher.told[-1][2]
    clock.at(301)
    with pytest.raises(Refusal) as caught:
        await lists.begin(BOB, URL).settle()
    assert caught.value.code == "revocation_unknown"
    assert fetcher.told[-1][2]["fail_mode"] == "fail_closed"


async def test_failure_is_not_remembered(clock: Clock) -> None:
    lists, fetcher = looking()
    fetcher.answers = [GONE, good()]
    with pytest.raises(Refusal):
        await lists.begin(BOB, URL).settle()
    await lists.begin(BOB, URL).settle()


async def test_look_takes_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer_lists, "LOOK_SECS", 0.01)
    lists, fetcher = looking()
    fetcher.gate.clear()
    with pytest.raises(Refusal, match="timeout"):
        await lists.begin(BOB, URL).settle()
    assert fetcher.told == [
        (
            "revocation.refresh_failed",
            "timeout",
            {"issuer": BOB.aid, "peer": "bob", "fail_mode": "fail_closed"},
        )
    ]


async def test_waiter_that_is_cancelled_leaves_the_look_to_the_others(clock: Clock) -> None:
    lists, fetcher = looking()
    fetcher.answers = [good()]
    fetcher.gate.clear()
    impatient = asyncio.create_task(lists.begin(BOB, URL).settle())
    patient = asyncio.create_task(lists.begin(BOB, URL).settle())
    await asyncio.wait_for(fetcher.begun.wait(), 60)
    impatient.cancel()
    await asyncio.wait((impatient,))
    fetcher.gate.set()
    await asyncio.wait_for(patient, 60)
    assert impatient.cancelled()


async def test_look_that_nobody_waits_for_ends_with_its_owner() -> None:
    lists, fetcher = looking()
    fetcher.gate.clear()
    before = asyncio.all_tasks()
    lists.begin(BOB, URL)
    await asyncio.wait_for(fetcher.begun.wait(), 60)
    [task] = asyncio.all_tasks() - before
    await lists.close()
    assert task.cancelled()
    assert not fetcher.told


async def test_what_is_not_looked_at_is_gone_on_with_under_each_mode() -> None:
    for mode in ("fail_closed", "fail_open"):
        lists, fetcher = looking(mode)
        await lists.begin(BOB, None).settle()
        await lists.begin(Peer("guest", "aid:guest", URL), URL).settle()
        assert [cause for _, cause, _ in fetcher.told] == ["not_advertised", "not_introduced"]
        assert not fetcher.state._lists, "strangers leave nothing behind"
