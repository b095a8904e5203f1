"""The receiver: what is taken, what is turned away, and what copies become. Real server, real store."""

from __future__ import annotations

import asyncio
import gzip
import json
import uuid
import zlib
from collections.abc import Callable

import pytest

from aitp_playground.events.vocabulary import TERMINAL_TYPES
from aitp_playground.observability.metrics import DeliveryResult
from aitp_playground.runs.feed import Feed
from aitp_playground.runs.intake.deliveries import MOST_FOREIGN
from aitp_playground.runs.intake.webhooks import delivered
from aitp_playground.runs.log import EventLog
from aitp_playground.runs.views import stored_state
from aitp_playground.service import Playground
from tests.support.playground import follow

from .calling import Subscribed, body_of, finished_run, get, running_run, secret_of, signature, store_of, subscribe

pytestmark = pytest.mark.asyncio(loop_scope="module")


def count(running: Playground, result: DeliveryResult) -> float:
    found = running.metrics.registry.get_sample_value("aitp_playground_webhook_deliveries_total", {"result": result})
    assert found is not None
    return found


async def test_a_signed_delivery_is_on_disk_when_it_is_answered(run: Subscribed) -> None:
    body = body_of("d-1", sessionId="s")
    assert await run.post(body) == 200
    [event] = await run.told()
    assert (event.get("delivery_id"), event.get("event_type")) == ("d-1", "handshake.complete")
    assert event.payload == json.loads(body)["payload"]
    assert event.get("foreign") is None


async def test_hex_may_be_upper_case(run: Subscribed) -> None:
    body = body_of()
    upper = "sha256=" + signature(run.secret, body).removeprefix("sha256=").upper()
    assert await run.post(body, signed=upper) == 200


@pytest.mark.parametrize(
    "body", [b"not json \xff", b"", b'["a list"]', b"[" * 5000, b'{"a":' * 900 + b"1" + b"}" * 900]
)
async def test_a_signed_body_that_is_no_usable_object_is_kept_as_text(run: Subscribed, body: bytes) -> None:
    assert await run.post(body, delivery="h-1", event="odd.type") == 200
    [event] = await run.told()
    assert event.payload == {"raw": body.decode("utf-8", "replace")}
    assert (event.get("delivery_id"), event.get("event_type")) == ("h-1", "odd.type")


async def test_text_that_utf8_cannot_say_survives(run: Subscribed) -> None:
    assert await run.post(b'{"deliveryId":"d-\\ud800","payload":{"n":"\\u0000\\udfff"}}') == 200
    assert (await run.told())[0].payload == {"n": "\x00\udfff"}


@pytest.mark.parametrize(
    "forge",
    [
        lambda run, body: (body, signature("another secret", body)),
        lambda run, body: (body.replace(b"e-1", b"e-2"), signature(run.secret, body)),
        lambda run, body: (json.dumps(json.loads(body)).encode(), signature(run.secret, body)),
        lambda run, body: (body, ""),
        lambda run, body: (body, "sha256="),
        lambda run, body: (body, signature(run.secret, body).removeprefix("sha256=")),
        lambda run, body: (body, signature(run.secret, body).replace("sha256", "sha1")),
        lambda run, body: (body, signature(run.secret, body).replace("sha256", "SHA256")),
        lambda run, body: (body, signature(run.secret, body)[:-1]),
        lambda run, body: (body, signature(run.secret, body) + "0"),
        lambda run, body: (body, "sha256=" + "g" * 64),
        lambda run, body: (body, "sha256=" + "é" * 64),
        lambda run, body: (b"", signature(run.secret, body)),
        lambda run, body: (body, signature("", body)),
    ],
    ids=[
        "wrong secret",
        "tampered",
        "re-serialised",
        "empty header",
        "empty digest",
        "bare digest",
        "sha1",
        "SHA256",
        "cut",
        "longer",
        "no hex",
        "no ASCII",
        "empty body",
        "empty secret",
    ],
)
async def test_what_is_not_signed_right_is_refused_and_leaves_no_trace(run: Subscribed, forge: object) -> None:
    assert callable(forge)
    refused = count(run.running, "unsigned")
    body, signed = forge(run, body_of())
    assert await run.post(body, signed=signed) == 401
    assert await run.told() == []
    assert count(run.running, "unsigned") == refused + 1


async def test_without_a_signature_or_with_two_a_delivery_is_refused(run: Subscribed) -> None:
    body = body_of()
    good = signature(run.secret, body)
    for headers in ("", f"X-Aitp-Signature: {good}\r\nX-Aitp-Signature: {good}\r\n"):
        assert await raw_status(run, body, headers) == 401
    assert await raw_status(run, body, f"X-Aitp-Signature: {good}\r\n") == 200


async def raw_status(run: Subscribed, body: bytes, headers: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(run.running.url.rpartition(":")[2]))
    head = (
        f"POST /webhooks/cp/{run.run_id} HTTP/1.1\r\nHost: cp.example\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    )
    writer.write(head.encode() + body)
    try:
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("signed", [None, "sha256=" + "0" * 64])
async def test_a_body_beyond_a_mebibyte_is_refused_before_its_signature_is_looked_at(
    run: Subscribed, signed: str | None
) -> None:
    assert await run.post(b" " * (1 << 20), signed="sha256=" + "0" * 64) == 401
    body = b" " * (2 << 20)
    async with asyncio.timeout(300):
        assert await run.post(body, signed=signed) == 413
    assert await run.told() == []


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_the_signature_of_a_compressed_delivery_is_over_the_bytes_as_received(
    run: Subscribed, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    plain = body_of(f"compressed-{encoding}")
    sent = compress(plain)
    assert await run.post(sent, signed=signature(run.secret, plain), encoding=encoding) == 401
    altered = compress(plain.replace(b"e-1", b"e-2"))
    assert await run.post(altered, signed=signature(run.secret, sent), encoding=encoding) == 401
    assert await run.told() == []
    assert await run.post(sent, signed=signature(run.secret, sent), encoding=encoding) == 200
    (event,) = await run.told()
    assert (event.get("delivery_id"), event.payload["id"]) == (f"compressed-{encoding}", "e-1")
    assert await run.post(sent, encoding=encoding) == 200, "a copy is known again"
    assert len(await run.told()) == 1


async def test_an_unknown_run_is_404_and_one_without_a_subscription_401(run: Subscribed) -> None:
    assert await run.post(body_of(), run_id=str(uuid.uuid4())) == 404
    assert await run.post(body_of(), run_id="..%2f") == 404
    other = await finished_run(run.running)
    assert await run.post(body_of(), run_id=other) == 401
    assert await run.post(body_of(), signed=signature("", body_of("x")), run_id=other) == 401


async def test_one_delivery_five_times_at_once_is_one_event_and_five_times_200(run: Subscribed) -> None:
    body = body_of("d-5")
    assert await asyncio.gather(*(run.post(body) for _ in range(5))) == [200] * 5
    assert [event.get("delivery_id") for event in await run.told()] == ["d-5"]


async def test_the_signed_id_counts_and_the_one_in_the_header_does_not(run: Subscribed) -> None:
    body = body_of("d-6")
    for header in ("d-6", "d-7", ""):
        assert await run.post(body, delivery=header) == 200
    assert await run.post(body_of("d-8"), delivery="d-6") == 200
    assert [event.get("delivery_id") for event in await run.told()] == ["d-6", "d-8"]


async def test_a_body_without_an_id_is_known_by_the_header_and_its_bytes_together(run: Subscribed) -> None:
    for body, header in ((b"{}", "h"), (b"{}", "h"), (b"{ }", "h"), (b"{}", "i")):
        assert await run.post(body, delivery=header) == 200
    assert len(await run.told()) == 3


async def test_a_delivery_about_another_run_is_marked_and_its_payload_left_out(run: Subscribed) -> None:
    assert await run.post(body_of("d-9", runId="another")) == 200
    assert await run.post(body_of("d-10", runId=run.run_id)) == 200
    foreign, own = await run.told()
    assert (foreign.get("foreign"), foreign.fields.get("payload")) == (True, None)
    assert (own.get("foreign"), own.payload["runId"]) == (None, run.run_id)


async def test_beyond_a_hundred_foreign_deliveries_are_only_counted_and_each_once(run: Subscribed) -> None:
    bodies = [body_of(f"f-{number}", runId="another") for number in range(MOST_FOREIGN + 7)]
    for start in range(0, len(bodies), 20):
        assert set(await asyncio.gather(*(run.post(body) for body in bodies[start : start + 20]))) == {200}
    last = body_of("f-last", runId="another")
    assert await asyncio.gather(*(run.post(last) for _ in range(5))) == [200] * 5
    shown = await run.shown()
    assert (shown["count"], shown["foreign_count"]) == (MOST_FOREIGN, 8)
    assert await run.post(body_of("own", runId=run.run_id)) == 200
    assert (await run.shown())["count"] == MOST_FOREIGN + 1


async def test_a_run_that_goes_on_takes_deliveries_and_knows_their_copies_after_its_end(shared: Playground) -> None:
    run = await subscribe(shared, await running_run(shared))
    early, late = body_of("early"), body_of("late")
    assert await run.post(early) == 200
    assert [event.get("delivery_id") for event in await run.told()] == ["early"]
    await shared.directory.cancel(run.run_id)
    assert list(await asyncio.gather(run.post(early), run.post(late))) == [200, 200]
    outcome = await follow(shared, run.run_id)
    kinds = [kind for kind in outcome.types if kind in {"cp.webhook.delivered", *TERMINAL_TYPES}]
    assert kinds == ["cp.webhook.delivered", "run.cancelled", "cp.webhook.delivered"]


async def test_deliveries_that_meet_the_end_of_the_run_are_all_kept_once(shared: Playground) -> None:
    run = await subscribe(shared, await running_run(shared))
    bodies = [body_of(f"m-{number}") for number in range(40)]

    async def insist(body: bytes) -> None:
        while await run.post(body) != 200:  # noqa: ASYNC110 - as a Control Plane does
            await asyncio.sleep(0.05)

    async with asyncio.timeout(300), asyncio.TaskGroup() as group:
        for number, body in enumerate(bodies):
            group.create_task(insist(body))
            if number == 20:
                group.create_task(shared.directory.cancel(run.run_id))
    outcome = await follow(shared, run.run_id)
    assert sorted(event.get("delivery_id") for event in outcome.of("cp.webhook.delivered")) == sorted(
        f"m-{number}" for number in range(40)
    )


async def test_a_finished_run_is_left_alone_again_and_still_knows_what_it_was_told(run: Subscribed) -> None:
    activations = run.running.directory.activations
    body = body_of("d-11")
    assert await run.post(body) == 200
    writer = activations.get(run.run_id)
    assert writer is not None
    await activations.leave(writer)
    await writer.gone
    assert activations.get(run.run_id) is None
    assert await run.post(body) == 200
    assert len(await run.told()) == 1


async def test_a_log_that_somebody_else_wrote_to_is_read_again(run: Subscribed) -> None:
    assert await run.post(body_of("d-12")) == 200
    # Another process on the same database appends behind the back of the writer that is here.
    row, state = await run.running.directory.row(run.run_id), await stored_state(store_of(run.running), run.run_id)
    other = EventLog(row.header.run_id, store_of(run.running), Feed(), (), state)
    entry = delivered(run.run_id, body_of("d-13"), "d-13", "t")
    await other.append([entry]).commit
    assert await run.post(body_of("d-14")) == 200
    assert [event.get("delivery_id") for event in await run.told()] == ["d-12", "d-13", "d-14"]


async def test_cp_deliveries_shows_the_subscription_and_narrows_by_type(run: Subscribed) -> None:
    await run.post(body_of("a", "tct.revoked"))
    await run.post(body_of("b", "agent.expired"))
    shown = await run.shown()
    [left] = await store_of(run.running).leftovers(run.run_id)
    assert shown["webhook"] == {"id": left.name, "url": left.url, "events": []}
    assert left.url == f"{run.running.url}/webhooks/cp/{run.run_id}"
    assert (shown["run_id"], shown["subscribed"], shown["count"]) == (run.run_id, True, 2)
    assert [one["delivery_id"] for one in (await run.shown(event_type="tct.revoked"))["deliveries"]] == ["a"]
    assert (await run.shown(event_type="nothing"))["count"] == 0


async def test_cp_deliveries_come_in_pages(run: Subscribed) -> None:
    for number in range(7):
        await run.post(body_of(f"p-{number}", "a" if number % 2 else "b"))
    seen: list[str] = []
    after = "0"
    while after is not None:
        page = await run.shown(after=after, limit="2")
        assert len(page["deliveries"]) <= 2
        seen += [one["delivery_id"] for one in page["deliveries"]]
        after = page.get("next")
    assert seen == [f"p-{number}" for number in range(7)]
    odd = await run.shown(event_type="a", limit="2")
    assert [one["delivery_id"] for one in odd["deliveries"]] == ["p-1", "p-3"]
    rest = await run.shown(event_type="a", after=odd["next"])
    assert [one["delivery_id"] for one in rest["deliveries"]] == ["p-5"]


async def test_cp_deliveries_of_a_run_without_a_subscription_is_empty_and_of_no_run_404(shared: Playground) -> None:
    run_id = await finished_run(shared)
    assert await get(shared, f"/runs/{run_id}/cp-deliveries") == {
        "run_id": run_id,
        "subscribed": False,
        "webhook": None,
        "deliveries": [],
        "count": 0,
        "foreign_count": 0,
    }
    assert (await get(shared, "/runs/nobody/cp-deliveries"))["error"]["code"] == "run_not_found"


async def test_the_secret_shows_in_no_answer_and_no_event(run: Subscribed, capfd: pytest.CaptureFixture[str]) -> None:
    await run.post(body_of("d-15"))
    await run.post(body_of("d-15"), signed="sha256=" + "0" * 64)
    seen = [await get(run.running, f"/runs/{run.run_id}{part}") for part in ("", "/cp-deliveries", "/status")]
    assert run.secret == await secret_of(run.running, run.run_id)
    assert run.secret not in json.dumps(seen)
    assert run.secret not in repr(await store_of(run.running).leftovers(run.run_id))
    assert run.secret not in "".join(capfd.readouterr())
