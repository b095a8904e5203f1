"""Declaring and running capabilities."""

from __future__ import annotations

from typing import Any

import pytest

from base.capabilities import Capabilities
from base.protocol.routes import did_document
from base.worker import Worker, WorkerContext


def context(*offered: str) -> WorkerContext:
    return WorkerContext("a", "A", offered)


async def echo(task: dict[str, Any]) -> dict[str, Any]:
    return task


def test_name_is_declared_once() -> None:
    worker = Worker()
    worker.capability("a.b")(echo)
    with pytest.raises(ValueError, match="declared twice"):
        worker.capability("a.b")(echo)


def test_function_that_is_not_async_is_refused_at_declaration() -> None:
    def plain(task: dict[str, Any]) -> dict[str, Any]:
        return task

    with pytest.raises(TypeError, match="not an async function"):
        Worker().capability("a.b")(plain)  # type: ignore[type-var]


def test_offered_capability_needs_a_function() -> None:
    with pytest.raises(LookupError, match=r"a\.c"):
        Capabilities({"a.b": echo}, context("a.b", "a.c"))
    assert "a.d" not in Capabilities({"a.b": echo, "a.d": echo}, context("a.b"))


@pytest.mark.parametrize(
    ("host", "did"),
    [
        ("localhost:8101", "did:web:localhost%3A9000"),
        ("127.0.0.1", "did:web:127.0.0.1%3A9000"),
        ("agents.example", "did:web:agents.example"),
        ("agents.example:8443", "did:web:agents.example%3A8443"),
    ],
)
def test_did_takes_the_real_port_of_a_loopback_host_and_others_literally(host: str, did: str) -> None:
    document = did_document(host, 9000, "http://localhost:9000/.well-known/aitp-manifest")
    assert document["id"] == did
    assert document["service"][0]["id"].startswith(did + "#")
