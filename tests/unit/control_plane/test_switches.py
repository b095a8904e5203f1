"""Switches apart from any request: what can be set, and how they are spent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aitp_playground.control_plane.misbehaviour.switches import FAULTS, Switches, SwitchInvalid, parsed


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ({}, "fault must be one of"),
        ({"fault": "gremlins"}, "fault must be one of"),
        ({"fault": ["delay"]}, "fault must be one of"),
        ({"fault": "delay", "status": 500}, "delay has no status"),
        ({"fault": "database_lost", "calls": 1}, "database_lost has no calls"),
        ({"fault": "delay", "seconds": -1}, "seconds does not take -1"),
        ({"fault": "delay", "seconds": True}, "seconds does not take True"),
        ({"fault": "delay", "seconds": float("nan")}, "seconds does not take nan"),
        ({"fault": "delay", "calls": 0}, "calls does not take 0"),
        ({"fault": "delay", "path": "api"}, "path does not take 'api'"),
        ({"fault": "delay", "method": 7}, "method does not take 7"),
        ({"fault": "status", "status": 99}, "status does not take 99"),
        ({"fault": "forged_list", "how": "nicely"}, "how does not take 'nicely'"),
        ({"fault": "forged_list", "how": ["tampered"]}, "how does not take"),
    ],
)
def test_a_switch_that_makes_no_sense_is_refused_by_field(wanted: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SwitchInvalid, match=complaint.replace("[", r"\[")):
        Switches().set(wanted)


@pytest.mark.parametrize("fault", list(FAULTS))
def test_every_fault_can_be_set_by_its_name_alone(fault: str) -> None:
    switches = Switches()
    switches.set({"fault": fault})

    assert switches.on(fault)


def test_a_start_up_option_says_the_same_as_json() -> None:
    text = "status status=503 calls=3 method=post path=/api/events"

    assert parsed(text) == {"fault": "status", "status": 503, "calls": 3, "method": "post", "path": "/api/events"}
    assert parsed("delay seconds=0.5") == {"fault": "delay", "seconds": 0.5}


@pytest.mark.parametrize("text", ["", "status status=many", "delay 'seconds=1"])
def test_a_start_up_option_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(SwitchInvalid):
        parsed(text)


def test_a_switch_is_gone_after_its_calls() -> None:
    switches = Switches()
    switches.set({"fault": "drop", "calls": 2})

    assert [switches.take("drop") is not None for _ in range(3)] == [True, True, False]
    assert list(switches) == []


def test_a_switch_meets_only_its_method_and_the_paths_under_its_own() -> None:
    switches = Switches()
    switches.set({"fault": "drop", "method": "post", "path": "/api/events"})

    assert switches.take("drop", "POST", "/api/events") is not None
    assert switches.take("drop", "POST", "/api/events/history") is not None
    assert switches.take("drop", "GET", "/api/events") is None
    assert switches.take("drop", "POST", "/api/sessions") is None


def test_the_older_of_two_is_spent_first() -> None:
    switches = Switches()
    switches.set({"fault": "status", "status": 500, "calls": 1})
    switches.set({"fault": "status", "status": 503})

    statuses = [switch.status for _ in range(2) if (switch := switches.take("status"))]
    assert statuses == [500, 503]


def test_switches_are_bounded() -> None:
    switches = Switches()
    for _ in range(64):
        switches.set({"fault": "delay"})

    with pytest.raises(SwitchInvalid, match="at most 64"):
        switches.set({"fault": "delay"})


async def test_a_delivery_held_back_goes_on_when_the_next_one_has_gone() -> None:
    switches = Switches()
    switches.set({"fault": "reorder_deliveries", "calls": 1, "seconds": 60})
    order: list[str] = []

    async def deliver(name: str) -> None:
        async with switches.delivery("hook"):
            order.append(name)

    first = asyncio.create_task(deliver("first"))
    await asyncio.sleep(0)
    await deliver("second")
    await first

    assert order == ["second", "first"]


async def test_a_delivery_held_back_is_not_overtaken_by_another_hooks() -> None:
    switches = Switches()
    switches.set({"fault": "reorder_deliveries", "calls": 1, "seconds": 60})

    async def deliver(hook: str) -> None:
        async with switches.delivery(hook):
            pass

    held = asyncio.create_task(deliver("one"))
    await asyncio.sleep(0)
    await deliver("other")
    assert not held.done()
    held.cancel()
    with pytest.raises(asyncio.CancelledError):
        await held
    assert not switches._overtaken
