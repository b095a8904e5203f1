"""Where the Control Plane calls runs back, and what it has told them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from aiohttp import hdrs, web

from aitp_playground.actors import ActorError
from aitp_playground.api import query
from aitp_playground.api.access import WEBHOOK
from aitp_playground.api.answers import answer
from aitp_playground.api.backend import BACKEND
from aitp_playground.api.bodies import MIB, read_received
from aitp_playground.api.encodings import encoding_of, plain
from aitp_playground.api.paths import run_id_of
from aitp_playground.api.streaming import listed, written
from aitp_playground.errors import PayloadTooLarge, PlaygroundError, RunNotFound, Unauthorized
from aitp_playground.events.codec import encode_json
from aitp_playground.observability.metrics import DeliveryResult
from aitp_playground.runs.directory import RunDirectory

MAX_DELIVERY = MIB
SIGNATURE = "X-Aitp-Signature"
DELIVERY = "X-Aitp-Delivery"
EVENT = "X-Aitp-Event"


async def take_delivery(request: web.Request) -> web.Response:
    """200 when it is on disk, also when it was already. Anything but a 2xx has the Control Plane try again."""
    count = request.app[BACKEND].metrics.delivery
    try:
        fate = await _taken(request)
    except (PlaygroundError, ActorError) as refusal:
        count(_REFUSALS.get(type(refusal), "refused"))
        raise
    count(fate)
    return answer({"status": fate}, headers={hdrs.CACHE_CONTROL: "no-store"})


async def _taken(request: web.Request) -> DeliveryResult:
    directory, run_id = request.app[BACKEND].directory, run_id_of(request)
    await directory.row(run_id)
    encoding = encoding_of(request)
    received = await read_received(request, MAX_DELIVERY)
    return await directory.deliveries.take(
        run_id,
        plain(received, encoding, MAX_DELIVERY),
        signed=received,
        signature=_only(request, SIGNATURE),
        delivery_id=_only(request, DELIVERY),
        event_type=_only(request, EVENT),
    )


def _only(request: web.Request, name: str) -> str | None:
    """The header, unless it is missing or given twice."""
    given = request.headers.getall(name, [])
    return given[0] if len(given) == 1 else None


@query.takes("event_type", "after", "limit")
async def show_deliveries(request: web.Request) -> web.StreamResponse:
    """What is on disk here, by pages; the Control Plane is not asked."""
    directory, run_id = request.app[BACKEND].directory, run_id_of(request)
    asked = {
        "event_type": query.words(request, "event_type"),
        "after": query.number(request, "after", low=0, high=query.MAX_SEQ) or 0,
        "limit": query.limit(request) or query.MAX_PAGE,
    }
    await directory.row(run_id)
    return await written(request, _shown(directory, run_id, asked), content_type="application/json")


async def _shown(directory: RunDirectory, run_id: str, asked: Mapping[str, Any]) -> AsyncGenerator[bytes]:
    deliveries = directory.deliveries
    hook = await deliveries.subscription(run_id)
    head = {"run_id": run_id, "subscribed": hook is not None, "webhook": hook}
    yield encode_json(head)[:-1] + b',"deliveries":['
    count, following = 0, None
    async with contextlib.aclosing(deliveries.pages(run_id, **asked)) as pages:
        async for page in pages:
            for piece in listed([event.body for event in page.events], first=count == 0):
                yield piece
            count, following = count + len(page.events), page.next_after
    tail = {"count": count, "foreign_count": await deliveries.foreign_count(run_id)}
    yield b"]," + encode_json(tail if following is None else {**tail, "next": str(following)})[1:]


_REFUSALS: dict[type[Exception], DeliveryResult] = {
    Unauthorized: "unsigned",
    RunNotFound: "unknown_run",
    PayloadTooLarge: "too_large",
}

ROUTES = [
    web.post(WEBHOOK, take_delivery),
    web.get("/runs/{run_id}/cp-deliveries", show_deliveries),
]
