"""Every route knows its query parameters, and refuses others."""

from __future__ import annotations

import re

import pytest

from aitp_playground import api

from .conftest import Client

ROUTES = [(route.method, route.path) for resource in api.RESOURCES for route in resource.ROUTES]
PLACES = {
    "run_id": "run-1",
    "a": "run-1",
    "b": "run-2",
    "pack": "demo",
    "versioned": "first@1",
    "name": "lazy",
    "agent_id": "a",
    "sid": "s",
}


def at(path: str) -> str:
    return re.sub(r"\{(\w+)[^}]*\}", lambda match: PLACES[match[1]], path)


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_parameter_that_a_route_does_not_know_is_422(client: Client, method: str, path: str) -> None:
    response = await client.request(method, f"{at(path)}?nonsense=1")
    error = (await response.json())["error"]
    assert (response.status, error["code"]) == (422, "invalid_request")
    assert [fault["parameter"] for fault in error["details"]] == ["nonsense"]
    assert "known here" in error["message"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("/runs?limti=3", "did you mean 'limit'? known here: before, limit, scenario_ref, status"),
        ("/runs/run-1?event=false", "did you mean 'events'?"),
        ("/runs/run-1/events?afer=3", "did you mean 'after'?"),
        ("/cp/tcts?Active=true", "known here: active,"),
        ("/runs?limit=1&limit=2", "limit is given more than once"),
    ],
)
async def test_a_slip_is_told_what_was_meant(client: Client, asked: str, said: str) -> None:
    response = await client.get(asked)
    assert response.status == 422
    assert said in (await response.json())["error"]["message"]


async def test_nobody_learns_of_parameters_before_the_key_is_shown(connect) -> None:  # type: ignore[no-untyped-def]
    client = await connect(keys=("secret-key-of-a-test",))
    assert (await client.get("/runs?nonsense=1")).status == 401
