"""When the circuit opens, who closes it, and that everything ends with the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from aitp_playground.cp_client.breaker import FIRST_PAUSE, LONGEST_PAUSE, Breaker, State
from aitp_playground.cp_client.reasons import Reason

from . import rogue as ways
from .conftest import Clock, MakeClient
from .rogue import Rogue, in_turn, refusing, says

WELL = says({"ok": True, "service": "cp"})


class Patient:
    """A probe that answers what it is told to."""

    def __init__(self, clock: Clock) -> None:
        self.answers: asyncio.Queue[bool | Exception] = asyncio.Queue()
        self.states: list[State] = []
        self.changed = asyncio.Event()
        self.breaker = Breaker(self._probe, on_change=self._note, sleep=clock.sleep, jitter=lambda _, most: most)

    async def _probe(self) -> bool:
        answer = await self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _note(self, state: State) -> None:
        self.states.append(state)
        self.changed.set()

    def fail(self, *reasons: Reason) -> None:
        for reason in reasons:
            permit = self.breaker.admit()
            assert permit is not None
            self.breaker.failed(permit, reason)

    async def recover(self, clock: Clock) -> float:
        self.changed.clear()
        self.answers.put_nowait(True)
        pause = await clock.wake()
        await self.changed.wait()
        return pause


@pytest.fixture
async def patient(clock: Clock) -> AsyncIterator[Patient]:
    one = Patient(clock)
    yield one
    await one.breaker.close()


async def test_one_time_out_opens(patient: Patient) -> None:
    patient.fail("timeout")
    assert (patient.breaker.state, patient.breaker.admit()) == ("open", None)


@pytest.mark.parametrize("pair", [("refused", "refused"), ("dns", "dns"), ("refused", "dns")])
async def test_two_refusals_open_and_one_does_not(pair: tuple[Reason, Reason], patient: Patient) -> None:
    states: list[State] = []
    for reason in pair:
        patient.fail(reason)
        states.append(patient.breaker.state)
    assert states == ["closed", "open"]


async def test_an_answer_between_two_refusals_makes_them_two_firsts(patient: Patient) -> None:
    patient.fail("refused")
    patient.breaker.answered()
    patient.fail("refused")
    assert patient.breaker.state == "closed"


@pytest.mark.parametrize("reason", ["http_5xx", "truncated", "unauthorized", "not_json", "bad_shape", "redirect"])
async def test_a_control_plane_that_answers_badly_is_still_there(reason: Reason, patient: Patient) -> None:
    patient.fail(*[reason] * 20)
    assert patient.breaker.state == "closed"


async def test_only_a_good_probe_closes(patient: Patient, clock: Clock) -> None:
    patient.fail("timeout")
    patient.breaker.answered()
    assert patient.breaker.state == "open"
    patient.answers.put_nowait(False)
    await clock.wake()
    await patient.recover(clock)
    assert (patient.breaker.state, patient.states) == ("closed", ["open", "closed"])


async def test_a_probe_that_raises_is_logged_and_does_not_end_the_probing(patient: Patient, clock: Clock) -> None:
    patient.fail("timeout")
    patient.answers.put_nowait(ZeroDivisionError())
    with capture_logs() as lines:
        await clock.wake()
        await patient.recover(clock)
    assert "cp_client.probe_failed" in [line["event"] for line in lines]
    assert patient.breaker.state == "closed"


async def test_pauses_double_up_to_a_bound(patient: Patient, clock: Clock) -> None:
    patient.fail("timeout")
    pauses = []
    for _ in range(8):
        patient.answers.put_nowait(False)
        pauses.append(await clock.wake())
    assert pauses == [FIRST_PAUSE * 2**n for n in range(5)] + [LONGEST_PAUSE] * 3


async def test_pauses_are_jittered_between_half_and_whole(clock: Clock) -> None:
    asked: list[tuple[float, float]] = []

    def jitter(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    async def never() -> bool:
        return False

    breaker = Breaker(never, sleep=clock.sleep, jitter=jitter)
    permit = breaker.admit()
    assert permit is not None
    breaker.failed(permit, "timeout")
    assert (await clock.wake(), asked) == (FIRST_PAUSE / 2, [(0.5, 1.0)])
    await breaker.close()


async def test_pauses_go_on_growing_when_only_the_health_route_is_well(patient: Patient, clock: Clock) -> None:
    pauses = []
    for _ in range(3):
        patient.fail("timeout")
        pauses.append(await patient.recover(clock))
    assert pauses == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    patient.breaker.answered()
    patient.fail("timeout")
    assert await patient.recover(clock) == FIRST_PAUSE


async def test_a_call_from_before_the_outage_does_not_open_the_circuit_again(patient: Patient, clock: Clock) -> None:
    old = patient.breaker.admit()
    assert old is not None
    patient.fail("timeout")
    await patient.recover(clock)
    patient.breaker.failed(old, "timeout")
    assert patient.breaker.state == "closed"


async def test_refusals_of_the_last_outage_do_not_count_in_the_next(patient: Patient, clock: Clock) -> None:
    patient.fail("refused", "refused")
    await patient.recover(clock)
    patient.fail("refused")
    assert patient.breaker.state == "closed"


async def test_closing_ends_the_probe_under_way_and_starts_no_other(patient: Patient, clock: Clock) -> None:
    late = patient.breaker.admit()
    patient.fail("timeout")
    await clock.wake()
    await patient.breaker.close()
    assert late is not None
    patient.breaker.failed(late, "timeout")
    assert [task for task in asyncio.all_tasks() if task.get_name() == "cp-breaker-probe"] == []


async def test_after_one_black_hole_calls_degrade_without_being_sent(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = ways.black_hole
    client = make_client(rogue.url, cp_timeout_ms=60)
    reasons = [(await client.fetch_tcts.outcome()).reason for _ in range(3)]
    assert reasons == ["timeout", "breaker_open", "breaker_open"]
    assert rogue.asked == ["GET /api/tcts"]
    assert (client.state, client.trouble) == ("open", "breaker_open")


async def test_after_two_refusals_calls_degrade_without_being_sent(make_client: MakeClient) -> None:
    with refusing() as url:
        client = make_client(url)
        reasons = [(await client.fetch_sessions.outcome()).reason for _ in range(3)]
    assert reasons == ["refused", "refused", "breaker_open"]


async def test_calls_that_run_into_the_outage_together_open_it_once(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = ways.black_hole
    states: list[State] = []
    client = make_client(rogue.url, cp_timeout_ms=60, hooks={"on_state": states.append})
    outcomes = await asyncio.gather(*(client.fetch_tcts.outcome() for _ in range(10)))
    assert {one.reason for one in outcomes} == {"timeout"}
    assert states == ["open"]


async def test_a_health_call_of_the_breaker_and_no_other_brings_calls_back(
    rogue: Rogue, make_client: MakeClient, clock: Clock
) -> None:
    rogue.behaviour = ways.black_hole
    back = asyncio.Event()
    client = make_client(
        rogue.url, cp_timeout_ms=60, hooks={"on_state": lambda now: back.set() if now == "closed" else None}
    )
    await client.fetch_tcts()
    rogue.behaviour = says({"tcts": [{"jti": "x"}]})
    rogue.route("GET", "/api/health", in_turn(says(b"", 503), says(ways.HTML, 200, "text/html"), WELL))
    assert (await client.fetch_tcts.outcome()).reason == "breaker_open"
    for _ in range(3):
        assert client.state == "open"
        await clock.wake()
    await back.wait()
    assert rogue.asked == ["GET /api/tcts"] + ["GET /api/health"] * 3
    assert "Authorization" not in rogue.seen[-1].headers
    assert await client.fetch_tcts() == [{"jti": "x"}]


async def test_cancelling_a_call_cancels_it_and_is_no_failure(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = ways.black_hole
    client = make_client(rogue.url, cp_timeout_ms=60_000)
    call = asyncio.ensure_future(client.fetch_tcts())
    await rogue.arrived.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (client.state, client.trouble) == ("closed", None)


async def test_a_closed_client_degrades_and_sends_nothing(rogue: Rogue, make_client: MakeClient) -> None:
    client = make_client(rogue.url)
    await client.close()
    assert (await client.fetch_tcts.outcome()).reason == "breaker_open"
    assert rogue.asked == []


async def test_a_call_of_several_requests_costs_one_time_out(rogue: Rogue, make_client: MakeClient) -> None:
    """Each request alone would have been in time; together they are not."""
    rogue.route("GET", "/api/trust-anchors", says({"trustAnchors": []}))
    rogue.route("POST", "/api/trust-anchors", ways.black_hole)
    client = make_client(rogue.url, cp_timeout_ms=150)
    assert (await client.upsert_trust_anchor.outcome("https://idp.example")).reason == "timeout"
    assert rogue.asked == ["GET /api/trust-anchors", "POST /api/trust-anchors"]
    assert client.state == "open"


async def test_who_closes_it_and_is_cancelled_meanwhile_is_cancelled() -> None:
    ending, let_go = asyncio.Event(), asyncio.Event()

    async def slow_to_end(_: float) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await let_go.wait()

    async def probe() -> bool:
        return True

    breaker = Breaker(probe, sleep=slow_to_end)
    permit = breaker.admit()
    assert permit is not None
    breaker.failed(permit, "timeout")
    await asyncio.sleep(0)
    closing = asyncio.create_task(breaker.close())
    await ending.wait()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    let_go.set()
    await breaker.close()
