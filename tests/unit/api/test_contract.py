"""The contract is an OpenAPI document, it has every route with all that is known of it, and its copy is fresh."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from aiohttp import hdrs, web
from openapi_spec_validator import OpenAPIV31SpecValidator

from aitp_playground import api, errors
from aitp_playground.api import query
from aitp_playground.api.access import ANY_HOST, KEYLESS
from aitp_playground.api.contract.document import Route, document
from aitp_playground.api.contract.operations import Tag
from aitp_playground.api.documents import Event
from aitp_playground.events.model import PROMOTED
from tests.support.contract import Contract
from tests.unit.test_docs_pages import DOCS

from .conftest import Client, Connect

CONTRACT = Contract()
DOCUMENT: dict[str, Any] = json.loads(api.openapi())
OPERATIONS = {operation["operationId"]: (method, path, operation) for method, path, operation in CONTRACT.operations()}
COMPONENTS = DOCUMENT["components"]


def test_it_is_an_openapi_document() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert [fault.message for fault in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_its_copy_is_fresh() -> None:
    assert (DOCS / "openapi.json").read_text("utf-8") == api.openapi(), "write it: make docs"


async def test_it_has_every_route_and_no_other(client: Client) -> None:
    served = {
        (route.method, route.resource.canonical)
        for route in client.app.router.routes()
        if route.resource is not None and route.method != hdrs.METH_HEAD
    }
    assert {(method, path) for method, path, _ in OPERATIONS.values()} == served
    heads = {route.resource.canonical for route in client.app.router.routes() if route.method == hdrs.METH_HEAD}
    assert heads == {path for method, path in served if method == hdrs.METH_GET}, "HEAD is answered wherever GET is"


def test_every_operation_has_a_name_of_its_own() -> None:
    assert len(OPERATIONS) == sum(len(methods) for methods in DOCUMENT["paths"].values())
    assert all(re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", name) for name in OPERATIONS)


def test_a_route_of_which_nothing_is_said_is_not_served() -> None:
    async def silent(_request: web.Request) -> web.Response:
        raise NotImplementedError

    with pytest.raises(LookupError, match="silent has no @operation"):
        document([Route("GET", "/silent", silent, Tag("None", ""))])


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_says_what_can_be_known(name: str) -> None:
    method, path, operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["description"]
    assert [tag["name"] for tag in DOCUMENT["tags"]].count(operation["tags"][0]) == 1
    statuses = operation["responses"].keys()
    assert {"400", "422", "500"} <= statuses
    assert ("403" in statuses) or path in ANY_HOST
    assert ("401" in statuses) is bool(operation["security"])
    assert (path in KEYLESS) is ({"apiKey": []} not in operation["security"])
    assert ("requestBody" in operation) is (method == "POST")
    assert {"413", "415"} <= statuses or method != "POST"
    placeholders = re.findall(r"\{(\w+)\}", path)
    parameters = operation.get("parameters", [])
    assert [given["name"] for given in parameters if given["in"] == "path"] == placeholders
    for given in parameters:
        assert given["description"], given
        assert given["required"] is (given["in"] == "path")


def test_the_query_parameters_are_those_that_the_routes_take() -> None:
    for resource in api.RESOURCES:
        for route in resource.ROUTES:
            operation = CONTRACT.operation(route.method, re.sub(r"\{\w+\}", "x", route.path))
            told = [given["name"] for given in operation.get("parameters", []) if given["in"] == "query"]
            assert told == [parameter.name for parameter in query.known_to(route.handler)], route.path


def test_every_refusal_has_the_one_shape_and_a_code_of_the_list() -> None:
    codes = set(COMPONENTS["schemas"]["Fault"]["properties"]["code"]["enum"])
    assert {kind.code for kind in errors.KINDS} <= codes
    for name, answer in COMPONENTS["responses"].items():
        assert answer["content"] == {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        told = re.findall(r"^(?:- )?`(\w+)`: \S", answer["description"], re.MULTILINE)
        assert len(told) == len(name.split("Or")), "each reason is told"
        assert set(told) <= codes


#: What is not ours to close: of others, or of a document that says itself what it is.
OPEN = {"Run.outputs", "KeptScenario.manifests", "KeptScenario.source", "Capabilities.features"}


def test_our_answers_are_closed() -> None:
    for name, schema in COMPONENTS["schemas"].items():
        if schema.get("type") == "object":
            assert schema["additionalProperties"] is False, name
            for field, inner in schema["properties"].items():
                if isinstance(inner.get("additionalProperties"), dict) and inner["additionalProperties"]:
                    assert f"{name}.{field}" in OPEN


def test_an_event_has_the_fields_that_events_have() -> None:
    assert list(Event.__annotations__) == ["seq", "id", "type", "ts", "run_id", *PROMOTED]


def test_the_headers_of_a_stream_are_told_as_they_are_read() -> None:
    for name in ("streamRunEvents", "streamEvents"):
        _, _, operation = OPERATIONS[name]
        (header,) = [given for given in operation["parameters"] if given["in"] == "header"]
        assert header["name"] == "Last-Event-ID"


# -- how it is served --------------------------------------------------------------------------------------------------

PATHS = ["/openapi.json", "/docs", "/docs/docs.css", "/docs/docs.js"]


async def test_the_document_is_served_as_it_is_written(client: Client) -> None:
    response = await client.get("/openapi.json")
    assert response.content_type == "application/json"
    assert await response.text() == api.openapi()


@pytest.mark.parametrize("path", PATHS)
async def test_nobody_needs_a_key_to_read_how_to_ask(connect: Connect, path: str) -> None:
    client = await connect(keys=("secret-key-of-a-test",))
    response = await client.get(path)
    CONTRACT.check("GET", path, response.status, response.headers, await response.read())
    assert response.status == 200
    assert "secret-key-of-a-test" not in await response.text()
    stranger = await client.get(path, headers={"Host": "evil.example"})
    assert stranger.status == 403


@pytest.mark.parametrize("path", PATHS)
async def test_who_has_it_is_not_sent_it_again(client: Client, path: str) -> None:
    first = await client.get(path)
    for known in (first.headers["ETag"], f'"other", {first.headers["ETag"]}', "*"):
        again = await client.get(path, headers={"If-None-Match": known})
        CONTRACT.check("GET", path, again.status, again.headers, await again.read())
        assert (again.status, again.headers["ETag"]) == (304, first.headers["ETag"])
    assert (await client.get(path, headers={"If-None-Match": '"other"'})).status == 200
    head = await client.head(path)
    assert (head.headers["Content-Length"], await head.read()) == (first.headers["Content-Length"], b"")


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("*", True),
        ("identity", False),
        ("", False),
        ("gzip;q=0", False),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip;q=2", False),
        ("gzip;;", False),
    ],
)
async def test_it_is_packed_for_who_takes_that(client: Client, accepted: str, packed: bool) -> None:
    response = await client.get("/openapi.json", headers={"Accept-Encoding": accepted})
    assert (response.headers.get("Content-Encoding") == "gzip") is packed
    assert response.headers["Vary"] == "Accept-Encoding"
    assert await response.json() == DOCUMENT
