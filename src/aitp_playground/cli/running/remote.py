"""``run --server``: the same as a run of one's own, on a playground that is already running."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from aitp_playground.api.paths import checked_ref
from aitp_playground.cli.exits import OutputLost
from aitp_playground.cli.process.cancelling import cancelling
from aitp_playground.cli.process.signals import Interrupts
from aitp_playground.cli.process.startup import imported
from aitp_playground.cli.running.api_client import ApiClient
from aitp_playground.cli.running.inputs import given_inputs
from aitp_playground.cli.running.order import Order
from aitp_playground.cli.running.several import Ended, Told, one_by_one
from aitp_playground.cli.terminal.live_run import LiveRun
from aitp_playground.cli.terminal.outputs import digest
from aitp_playground.errors import ScenarioNotFound
from aitp_playground.net import client_session
from aitp_playground.observability.redaction import SECRETS
from aitp_playground.scenarios.unknown_refs import unknown_ref


async def conduct(orders: Sequence[Order], server: str, api_key: str | None) -> list[Ended]:
    """As :func:`aitp_playground.cli.running.local.conduct`."""
    imported()
    SECRETS.add(api_key or "")
    with Interrupts() as interrupts:
        async with client_session() as http:
            client = ApiClient(http, server, api_key)
            meant = [await _meant(client, order) for order in orders]

            async def run(number: int) -> Told:
                request, steps = meant[number]
                body, lost = await _tell(client, await client.submit(request), len(steps), orders[number], interrupts)
                document = orjson.loads(body)
                return Told(document["status"], document["proof"], lambda: body, lost, steps)

            return await one_by_one(orders, run, interrupts)


async def _meant(client: ApiClient, order: Order) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What is asked of the server, and the ids of the steps that it has."""
    spec = (await _scenario(client, order))["spec"]
    return _request(order, spec["inputs"]["schema"]), tuple(step["id"] for step in spec["workflow"]["steps"])


async def _scenario(client: ApiClient, order: Order) -> dict[str, Any]:
    try:
        return await client.scenario(checked_ref(order.ref), order.template)
    except ScenarioNotFound:
        raise unknown_ref(order.ref, await client.refs()) from None


def _request(order: Order, schema: Mapping[str, Any]) -> dict[str, Any]:
    request = {
        "scenario_ref": order.ref,
        "inputs": given_inputs(schema, order.pairs, order.document),
        "template": order.template,
        "run_label": order.label,
    }
    return {name: value for name, value in request.items() if value is not None}


async def _tell(
    client: ApiClient, run_id: str, steps: int, order: Order, interrupts: Interrupts
) -> tuple[bytes, OutputLost | None]:
    live = LiveRun(sys.stderr if order.as_json else sys.stdout, steps)
    try:
        async with cancelling(interrupts, lambda: client.cancel(run_id)):
            async for stored in client.events(run_id):
                live.take([stored])
        body = await client.document(run_id)
        live.finish(run_id, digest(orjson.loads(body)["outputs"]))
    finally:
        await live.close(interrupts)
    return body, live.lost()
