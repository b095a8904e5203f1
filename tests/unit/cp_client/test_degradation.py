"""The degradation matrix: every operation against every way in which a Control Plane can let us down."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import pytest

from aitp_playground.cp_client import REASONS, BatchFate, CpClient, Reason, transport
from aitp_playground.cp_client.degrading import DegradingMethod

from . import rogue as ways
from .conftest import MakeClient
from .operations import CP, OPERATIONS, Operation
from .rogue import Behaviour, Rogue, refusing, says

PATIENT, HASTY = 20_000, 120
each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)


@dataclass(frozen=True, slots=True)
class Fault:
    """``fate``: what is then known of a batch of events. ``timeout``: long unless running into it is the point."""

    name: str
    behaviour: Behaviour
    reason: Reason
    fate: str
    timeout: int = PATIENT

    @property
    def in_the_body(self) -> bool:
        """The status line was a success."""
        return self.reason in {"not_json", "bad_shape", "too_large", "truncated"} or self.name == "slow body"


FAULTS = (
    Fault("black hole", ways.black_hole, "timeout", "unknown", HASTY),
    Fault("slow body", ways.slow_body, "timeout", "unknown", HASTY),
    Fault("401", says({"error": "Unauthorized", "code": "INVALID_API_KEY"}, 401), "unauthorized", "not_stored"),
    Fault("403", says({"error": "Forbidden"}, 403), "http_4xx", "not_stored"),
    Fault("404", says({"error": "no", "code": "NOT_FOUND"}, 404), "http_4xx", "not_stored"),
    Fault("413", says({"error": "big", "code": "PAYLOAD_TOO_LARGE"}, 413), "http_4xx", "not_stored"),
    Fault("429", says({"code": "RATE_LIMITED"}, 429, Retry_After="7"), "rate_limited", "not_stored"),
    Fault("500 empty", says(b"", 500), "http_5xx", "unknown"),
    Fault("503", says({"ok": False}, 503), "http_5xx", "unknown"),
    Fault("HTML 404", says(ways.HTML, 404, "text/html"), "http_4xx", "not_stored"),
    Fault("HTML 200", says(ways.HTML, 200, "text/html"), "not_json", "unknown"),
    Fault("cut connection", ways.cut_off, "truncated", "unknown"),
    Fault("cut document", says(b'{"items": [{"id": "1"}, {"i'), "truncated", "unknown"),
    Fault("cut character", says('{"items": [{"id": "é'.encode()[:-1]), "truncated", "unknown"),
    Fault("wrong shape", says(17), "bad_shape", "unknown"),
    Fault("308", says(b"", 308, Location="/elsewhere"), "redirect", "not_stored"),
    Fault("302", says(b"", 302, Location="/elsewhere"), "redirect", "unknown"),
    Fault("empty body", says(b""), "not_json", "unknown"),
    Fault("huge body", ways.endless, "too_large", "unknown"),
)


def expected(operation: Operation, fault: Fault) -> tuple[Any, Reason | None]:
    if operation.name == "ingest_events":
        return BatchFate(fault.fate), fault.reason  # type: ignore[arg-type]
    gone = "404" in fault.name or fault.in_the_body
    if operation.name in {"delete_webhook", "deregister_agent"} and gone:
        return True, None
    return operation.fallback, fault.reason


@pytest.fixture
def small_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound itself has a test of its own; here it only has to be met quickly."""
    monkeypatch.setattr(transport, "MAX_BODY", 100_000)


@pytest.mark.usefixtures("small_bodies")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda one: one.name)
@each_operation
async def test_every_operation_degrades_to_its_fallback_and_says_why(
    operation: Operation, fault: Fault, rogue: Rogue, make_client: MakeClient
) -> None:
    rogue.behaviour = fault.behaviour
    client = make_client(rogue.url, cp_timeout_ms=fault.timeout, cp_aid=CP.aid)
    outcome = await operation.outcome(client)
    assert (outcome.value, outcome.reason) == expected(operation, fault)
    assert rogue.asked, "nothing was tried"
    assert not any("elsewhere" in path for path in rogue.asked), "a redirect was followed"


@each_operation
async def test_every_operation_degrades_when_the_connection_is_refused(
    operation: Operation, make_client: MakeClient
) -> None:
    with refusing() as url:
        outcome = await operation.outcome(make_client(url, cp_timeout_ms=PATIENT, cp_aid=CP.aid))
    fallback = BatchFate("not_stored") if operation.name == "ingest_events" else operation.fallback
    assert (outcome.value, outcome.reason) == (fallback, "refused")


@each_operation
async def test_a_disabled_client_yields_the_fallback_without_a_reason(
    operation: Operation, make_client: MakeClient
) -> None:
    client = make_client("")
    outcome = await operation.outcome(client)
    special = {"ingest_events": BatchFate("skipped"), "delete_webhook": True, "deregister_agent": True}
    assert (outcome.value, outcome.reason) == (special.get(operation.name, operation.fallback), None)
    assert (client.enabled, client.state, client.trouble) == (False, "disabled", None)


@each_operation
async def test_every_operation_yields_its_value_when_the_control_plane_is_well(
    operation: Operation, rogue: Rogue, make_client: MakeClient
) -> None:
    rogue.behaviour = says(operation.answer)
    client = make_client(rogue.url, cp_aid=CP.aid)
    assert await operation.plain(client) == operation.value
    assert (client.enabled, client.state, client.trouble) == (True, "closed", None)


@each_operation
async def test_calling_a_method_gives_the_bare_fallback(
    operation: Operation, rogue: Rogue, make_client: MakeClient
) -> None:
    rogue.behaviour = says(b"", 500)
    assert await operation.plain(make_client(rogue.url, cp_aid=CP.aid)) == operation.fallback


@each_operation
async def test_only_public_routes_are_called_without_the_key(
    operation: Operation, rogue: Rogue, make_client: MakeClient
) -> None:
    await operation.plain(make_client(rogue.url, cp_api_key="sesame", cp_aid=CP.aid))
    keys = {seen.headers.get("Authorization") for seen in rogue.seen}
    assert keys == ({None} if operation.public else {"Bearer sesame"})


def test_these_operations_and_the_pin_are_all_there_are() -> None:
    calls = {name for name, value in inspect.getmembers(CpClient) if isinstance(value, DegradingMethod)}
    assert calls == {one.name for one in OPERATIONS} | {"pinned_aid"}
    assert len(OPERATIONS) == 19


def test_the_reason_classes_are_a_closed_set() -> None:
    assert {
        *("refused", "timeout", "dns", "unauthorized", "rate_limited", "http_4xx", "http_5xx", "redirect"),
        *("not_json", "bad_shape", "too_large", "truncated", "breaker_open", "list_unverified"),
    } == REASONS


async def test_a_body_of_eight_mebibytes_passes_and_one_byte_more_does_not(
    rogue: Rogue, make_client: MakeClient
) -> None:
    largest = b'{"items":[]}'.ljust(8 * 1024 * 1024)
    client = make_client(rogue.url, cp_timeout_ms=PATIENT)
    rogue.behaviour = says(largest)
    assert (await client.fetch_tcts.outcome()).reason is None
    rogue.behaviour = says(largest + b" ")
    assert (await client.fetch_tcts.outcome()).reason == "too_large"


async def test_a_refusal_tells_status_and_how_long_to_wait(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = says({"code": "RATE_LIMITED"}, 429, Retry_After="7")
    outcome = await make_client(rogue.url).ingest_events.outcome([{"type": "x"}])
    assert (outcome.status, outcome.retry_after) == (429, 7)


@pytest.mark.parametrize("text", ["soon", "-1", "9" * 40, "Wed, 21 Oct 2026 07:28:00 GMT", "²"])
async def test_an_absurd_retry_after_is_no_wait(text: str, rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = says(b"", 429, Retry_After=text)
    assert (await make_client(rogue.url).fetch_tcts.outcome()).retry_after is None


async def test_a_wait_is_bounded_to_an_hour(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = says(b"", 503, Retry_After="99999999")
    assert (await make_client(rogue.url).fetch_tcts.outcome()).retry_after == 3600


async def test_a_fault_of_the_client_itself_degrades_too(
    rogue: Rogue, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("aitp_playground.cp_client.calls.requests.rows", broken)
    outcome = await make_client(rogue.url).fetch_tcts.outcome()
    assert (outcome.value, outcome.reason) == ([], "bad_shape")
