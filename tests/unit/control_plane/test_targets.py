"""Where webhooks may not go: link-local and metadata addresses, however they are reached."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from aitp_playground.control_plane.webhooks import targets
from aitp_playground.control_plane.webhooks.targets import delivery_session, refused
from tests.contract.receiver import Receiver
from tests.unit.control_plane.serving import Served, serving

METADATA = (
    "169.254.169.254",
    "169.254.0.1",
    "2852039166",
    "0xa9fea9fe",
    "169.254.43518",
    "fe80::1",
    "fe80::1%25eth0",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "::a9fe:a9fe",
    "100.100.100.200",
)


@pytest.fixture
async def cp(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path, time_scale=0.01) as served:
        yield served


def url_of(host: str) -> str:
    return f"http://[{host}]/latest" if ":" in host else f"http://{host}/latest"


@pytest.mark.parametrize("host", METADATA)
async def test_a_metadata_address_is_refused_in_every_spelling(cp: Served, host: str) -> None:
    status, body = await cp.call("POST", "/api/webhooks", {"url": url_of(host)})
    assert (status, body["code"]) == (400, "URL_NOT_ALLOWED")
    _, hook = await cp.call("POST", "/api/webhooks", {"url": "http://127.0.0.1:9/"})
    assert (await cp.call("PATCH", f"/api/webhooks/{hook['id']}", {"url": url_of(host)}))[0] == 400


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "192.0.2.1", "::1", "2001:db8::1", "localhost", "a.example"])
def test_other_hosts_are_not(host: str) -> None:
    assert not refused(host)


class _Pointing(aiohttp.abc.AbstractResolver):
    """Every name means the metadata address."""

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> Any:
        found = aiohttp.abc.ResolveResult(
            hostname=host, host="169.254.169.254", port=port, family=socket.AF_INET, proto=0, flags=0
        )
        return [found]

    async def close(self) -> None:
        pass


async def test_a_name_that_means_one_by_the_time_of_delivery_is_not_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(targets, "LocalResolver", _Pointing)
    async with delivery_session() as http:
        with pytest.raises(aiohttp.ClientConnectorError, match=r"webhooks may not reach 169\.254\.169\.254"):
            await http.post("http://innocent.example/")


async def test_a_redirect_to_one_is_not_followed(cp: Served) -> None:
    asked = asyncio.Event()

    def lure() -> web.Response:
        asked.set()
        return web.Response(status=302, headers={"Location": "http://169.254.169.254/latest"})

    async with Receiver() as receiver:
        receiver.answers = [lure] * 3
        _, hook = await cp.call("POST", "/api/webhooks", {"url": receiver.url})
        await cp.ingest({"type": "handshake.complete"})
        await asked.wait()
        await cp.until(f"/api/webhooks/{hook['id']}/circuit-breaker", lambda breaker: breaker["failures"] >= 3)
        await cp.until("/api/dashboard/overview", lambda seen: seen["kpis"]["pendingWebhookDeliveries"] == 0)
        with pytest.raises(aiohttp.ClientConnectorError, match="webhooks may not reach"):
            await cp.running.service.http.get("http://169.254.169.254/latest")
