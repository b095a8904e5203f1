"""Health, readiness, what the SDK can do, and the metrics page."""

from __future__ import annotations

import asyncio
import sys
from importlib import metadata
from types import ModuleType
from typing import NoReturn

import pytest

from aitp_playground import sdk
from aitp_playground.api import health
from aitp_playground.errors import StoreUnavailable
from aitp_playground.observability.metrics import Metrics

from .conftest import Client, Connect
from .memory import MemoryDirectory

FEATURES = {"oidc", "session_bundle", "spki_pinning", "tct_renewal", "tct_cache", "multihop_delegation"}


async def test_a_serving_process_is_healthy_whatever_its_store_does(client: Client, directory: MemoryDirectory) -> None:
    directory.fault = StoreUnavailable("disk full")
    response = await client.get("/healthz")
    assert (response.status, await response.json()) == (200, {"status": "ok"})


async def test_readiness_follows_draining_and_the_store(client: Client, directory: MemoryDirectory) -> None:
    assert (await client.get("/readyz")).status == 200
    directory.fault = StoreUnavailable("the disk is full")
    full = await client.get("/readyz")
    assert (full.status, (await full.json())["error"]["message"]) == (503, "the disk is full")
    directory.fault, directory.drained = None, "shutting down"
    draining = await client.get("/readyz")
    assert draining.status == 503
    assert "shutting down" in (await draining.json())["error"]["message"]


async def test_a_store_that_hangs_is_not_ready(
    client: Client, directory: MemoryDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(health, "PING_SECONDS", 0.01)
    monkeypatch.setattr(directory, "ping", hang)
    assert (await client.get("/readyz")).status == 503


async def test_the_installed_sdk_has_every_feature(client: Client) -> None:
    response = await client.get("/capabilities")
    assert await response.json() == {
        "sdk_available": True,
        "version": metadata.version("aitp-sdk"),
        "features": dict.fromkeys(FEATURES, True),
    }


async def test_a_missing_sdk_is_said_and_not_raised(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aitp", None)
    capabilities = await (await client.get("/capabilities")).json()
    assert capabilities["sdk_available"] is False
    assert capabilities["features"] == dict.fromkeys(FEATURES, False)


class NativePanic(BaseException):
    """What a native module may raise: no Exception."""


@pytest.mark.parametrize("failure", [OSError("damaged"), NativePanic(), SystemExit(3)])
def test_an_sdk_that_breaks_at_import_is_not_available(monkeypatch: pytest.MonkeyPatch, failure: BaseException) -> None:
    def broken(_name: str) -> NoReturn:
        raise failure

    monkeypatch.setattr("importlib.import_module", broken)
    assert sdk.probe()["sdk_available"] is False


def test_features_are_found_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Trap(ModuleType):
        def __getattr__(self, name: str) -> NoReturn:
            raise RuntimeError(name)

    partial = Trap("aitp")
    partial.verify_delegation_multihop = print  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "aitp", partial)
    features = sdk.probe()["features"]
    assert {name for name, there in features.items() if there} == {"multihop_delegation"}


def test_an_sdk_without_metadata_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> NoReturn:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    assert sdk.probe()["version"] is None


async def test_the_whole_metrics_schema_is_there_before_the_first_request(client: Client, metrics: Metrics) -> None:
    assert b'route="/runs/{run_id}/events"' in metrics.render()
    response = await client.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'aitp_playground_http_requests_total{method="POST",route="/runs",status_class="2xx"} 0.0' in (
        await response.text()
    )


async def test_requests_count_under_their_route_and_refusals_too(connect: Connect, metrics: Metrics) -> None:
    client = await connect(keys=("k",))
    await client.get("/runs/secret-looking-id")
    await client.get("/nowhere")
    await client.get("/healthz")
    text = metrics.render().decode()
    assert 'aitp_playground_http_requests_total{method="GET",route="/runs/{run_id}",status_class="4xx"} 1.0' in text
    assert 'aitp_playground_http_requests_total{method="other",route="other",status_class="4xx"} 1.0' in text
    assert 'aitp_playground_http_request_seconds_count{method="GET",route="/healthz"} 1.0' in text
    assert "secret-looking-id" not in text
