"""Answers of the service held to its contract: the document says all that may come, and nothing else does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import aiohttp
import jsonschema_rs

from aitp_playground import api
from aitp_playground.api.contract.document import ITEM

#: On every answer, whatever it is about.
EVERYWHERE = {
    *("cache-control", "content-length", "content-security-policy", "content-type", "cross-origin-resource-policy"),
    *("connection", "date", "referrer-policy", "transfer-encoding", "x-content-type-options", "x-frame-options"),
    *("content-encoding", "vary", "x-accel-buffering"),
}


class Contract:
    """The document. ``seen``: the statuses that each operation has answered with, by its id."""

    def __init__(self, document: Mapping[str, Any] | None = None) -> None:
        self.document = json.loads(api.openapi()) if document is None else document
        self.seen: dict[str, set[int]] = {operation["operationId"]: set() for _, _, operation in self.operations()}
        self._validators: dict[str, Any] = {}

    def operations(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """Method, path, and what is said of them."""
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                yield method.upper(), path, operation

    def operation(self, method: str, path: str) -> Mapping[str, Any]:
        """Of a request. A path without placeholders goes before one with them, as in the router."""
        found = [
            (template.count("{"), operation)
            for asked, template, operation in self.operations()
            if asked == method and re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)), path)
        ]
        assert found, f"{method} {path} is no operation"
        return min(found, key=lambda one: one[0])[1]

    def check(self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Everything of an answer is as the document says."""
        operation = self.operation(method, path)
        name = operation["operationId"]
        assert str(status) in operation["responses"], f"{name} answered {status}: {body[:500]!r}"
        answer = self._resolved(operation["responses"][str(status)])
        self.seen[name].add(status)

        told = {header.lower() for header in answer.get("headers", {})}
        assert {header.lower() for header in headers} - EVERYWHERE <= told, f"{name} {status} sent other headers"
        for header, about in answer.get("headers", {}).items():
            assert not about["required"] or header in headers, f"{name} {status} came without {header}"

        content = answer.get("content", {})
        if not content:
            assert body == b"", f"{name} {status} came with a body"
            return
        (media, shape), *others = content.items()
        assert not others
        sent = headers["Content-Type"]
        assert sent.replace("; charset=utf-8", "") == media.replace("; charset=utf-8", ""), name
        if media == "application/json":
            self.fits(shape["schema"], json.loads(body), f"{name} {status}")
        elif media == "text/event-stream":
            for frame in frames(body):
                self.fits(shape[ITEM], frame, name)
                if "data" in frame:
                    inside = shape[ITEM]["properties"]["data"]["contentSchema"]
                    self.fits(inside, json.loads(frame["data"]), name)
        else:
            body.decode()

    def fits(self, schema: Mapping[str, Any], value: Any, what: str) -> None:
        """The value is one of those that the schema describes."""
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            whole = {**schema, "components": self.document["components"]}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole)
        faults = [
            f"{list(fault.instance_path)}: {fault.message[:300]}" for fault in self._validators[key].iter_errors(value)
        ]
        assert not faults, f"{what}: {faults[:5]}"

    def _resolved(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" not in answer:
            return answer
        found: Mapping[str, Any] = self.document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        return found


def frames(body: bytes) -> Iterator[dict[str, str]]:
    """The frames of an event stream; comments are none."""
    for block in body.decode().split("\n\n"):
        fields = [line.partition(": ") for line in block.splitlines() if not line.startswith(":")]
        if fields:
            yield {name: value for name, _, value in fields}


class Held:
    """A client of one server, each of whose answers is checked."""

    def __init__(self, http: aiohttp.ClientSession, contract: Contract) -> None:
        self.http, self.contract = http, contract

    async def ask(self, method: str, path: str, expected: int = 200, **request: Any) -> Any:
        """Ask, check and read: JSON as what it says, anything else as text."""
        async with self.http.request(method, path, **request) as response:
            body = await response.read()
        self.contract.check(method, response.url.raw_path, response.status, response.headers, body)
        assert response.status == expected, body[:500]
        return json.loads(body) if response.content_type == "application/json" and body else body.decode()
