"""Where the Control Plane calls runs back, and what it has told them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired

from aiohttp import hdrs, web
from pydantic import Field
from typing_extensions import TypedDict

from aitp_playground.actors import ActorError
from aitp_playground.api import query
from aitp_playground.api.access import WEBHOOK
from aitp_playground.api.answers import answer
from aitp_playground.api.backend import BACKEND
from aitp_playground.api.bodies import MIB, read_received
from aitp_playground.api.contract.operations import OF_A_RUN, Answer, Secured, Tag, operation
from aitp_playground.api.documents import Cursor, Event
from aitp_playground.api.encodings import encoding_of, plain
from aitp_playground.api.paths import RUN_ID, run_id_of
from aitp_playground.api.streaming import listed, written
from aitp_playground.errors import PayloadTooLarge, PlaygroundError, RunNotFound, Unauthorized
from aitp_playground.events.codec import encode_json
from aitp_playground.observability.metrics import DeliveryResult
from aitp_playground.runs.directory import RunDirectory
from aitp_playground.runs.messages import DeliveryFate

MAX_DELIVERY = MIB
SIGNATURE = "X-Aitp-Signature"
DELIVERY = "X-Aitp-Delivery"
EVENT = "X-Aitp-Event"
TAG = Tag("Webhooks", "What the Control Plane calls runs back about.")
SIGNED = Secured(
    "webhookSignature",
    {
        "type": "apiKey",
        "in": "header",
        "name": SIGNATURE,
        "description": "`sha256=` and the hex HMAC-SHA256 of the body, as it is sent, under the subscription's secret.",
    },
)
_TEXT = {"type": "string"}
_ID = query.Parsed(DELIVERY, "The id, where the body has no `deliveryId`.", parse=str, shape=_TEXT)
_EVENT_TYPE = query.Parsed(EVENT, "The type of the event, where the body has no `eventType`.", parse=str, shape=_TEXT)
_OF_TYPE = query.Words("event_type", "Only those of this type.")
_AFTER = query.Whole("after", "Only those with a greater `seq`.", default=0, low=0, high=query.MAX_SEQ)
_LIMIT = query.Whole("limit", "How many at most.", default=query.MAX_PAGE, low=1, high=query.MAX_PAGE)


@dataclass(frozen=True)
class _SignedBody:
    """Whatever was signed: JSON as the Control Plane writes it, and kept as text where it is none."""

    model: Any = Any
    limit: int = MAX_DELIVERY
    optional: bool = True


class Delivery(TypedDict):
    """`stored`, or a `duplicate` of what was, or `counted` only: one of too many about other runs."""

    status: DeliveryFate


class Webhook(TypedDict):
    """The run's subscription at the Control Plane."""

    id: str
    url: str
    events: list[str]


class Deliveries(TypedDict):
    """What was delivered, in order."""

    run_id: str
    subscribed: bool
    webhook: Webhook | None
    deliveries: list[Event]
    count: int
    foreign_count: Annotated[int, Field(description="Deliveries about other runs that were counted only.")]
    next: NotRequired[Cursor]


@operation(
    "receiveDelivery",
    "Take a delivery of the Control Plane",
    Answer("It is on disk.", Delivery),
    path=(RUN_ID,),
    headers=(_ID, _EVENT_TYPE),
    body=_SignedBody(),
    raises=OF_A_RUN,
    secured=SIGNED,
)
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


@operation(
    "listDeliveries",
    "List the deliveries to a run",
    Answer("A page of it.", Deliveries),
    path=(RUN_ID,),
    raises=OF_A_RUN,
)
@query.takes(_OF_TYPE, _AFTER, _LIMIT)
async def show_deliveries(request: web.Request) -> web.StreamResponse:
    """What is on disk here, by pages; the Control Plane is not asked."""
    directory, run_id = request.app[BACKEND].directory, run_id_of(request)
    asked = {
        "event_type": _OF_TYPE.of(request),
        "after": _AFTER.of(request) or 0,
        "limit": _LIMIT.of(request) or query.MAX_PAGE,
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
