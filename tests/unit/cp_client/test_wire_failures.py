"""Failures that a server of ours cannot produce: names that do not resolve, TLS, sockets with their own ways."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aioresponses import aioresponses
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from aitp_playground.cp_client import BatchFate

from .conftest import MakeClient

HOST = "http://cp.invalid"
AT = ConnectionKey("cp.invalid", 443, True, True, None, None, None)
REQUEST = aiohttp.RequestInfo(URL(HOST), "GET", CIMultiDictProxy(CIMultiDict()), URL(HOST))


@pytest.mark.parametrize(
    ("failure", "reason", "fate"),
    [
        (aiohttp.ClientConnectorDNSError(AT, socket.gaierror(-2, "unknown")), "dns", "not_stored"),
        (aiohttp.ClientConnectorError(AT, ConnectionRefusedError(111, "no")), "refused", "not_stored"),
        (aiohttp.ClientConnectorError(AT, OSError(113, "no route")), "refused", "not_stored"),
        (aiohttp.ClientConnectorError(AT, TimeoutError(110, "late")), "timeout", "not_stored"),
        (aiohttp.ClientConnectorSSLError(AT, ssl.SSLError(1, "protocol")), "refused", "not_stored"),
        (aiohttp.ClientConnectorCertificateError(AT, ssl.CertificateError("name")), "refused", "not_stored"),
        (aiohttp.ServerDisconnectedError(), "truncated", "unknown"),
        (aiohttp.ClientOSError(104, "reset"), "truncated", "unknown"),
        (aiohttp.ServerTimeoutError(), "timeout", "unknown"),
        (aiohttp.ClientPayloadError("cut"), "truncated", "unknown"),
        (aiohttp.ClientConnectionError("somehow"), "refused", "unknown"),
        (aiohttp.ClientResponseError(REQUEST, (), status=400, message="garbage"), "bad_shape", "unknown"),
        (ConnectionResetError(104, "reset"), "truncated", "unknown"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
async def test_a_failure_on_the_wire_has_a_class_and_a_fate(
    failure: Exception, reason: str, fate: Any, replies: aioresponses, make_client: MakeClient
) -> None:
    replies.post(f"{HOST}/api/events", exception=failure)
    outcome = await make_client(HOST).ingest_events.outcome([{"type": "x"}])
    assert (outcome.value, outcome.reason) == (BatchFate(fate), reason)


async def test_aioresponses_reads_as_a_server_would(replies: aioresponses, make_client: MakeClient) -> None:
    replies.get(f"{HOST}/api/tcts?active=true", payload={"tcts": [{"jti": "x"}]})
    assert await make_client(HOST).fetch_tcts(active=True) == [{"jti": "x"}]


async def test_a_name_that_leads_nowhere_is_a_matter_of_dns(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    assert (await make_client(HOST).fetch_tcts.outcome()).reason == "dns"


async def test_a_server_that_speaks_no_http_is_of_bad_shape(make_client: MakeClient) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert (await make_client(f"http://127.0.0.1:{port}").fetch_tcts.outcome()).reason == "bad_shape"


async def test_a_session_that_was_closed_under_the_client_degrades(
    make_client: MakeClient, http: aiohttp.ClientSession
) -> None:
    client = make_client(HOST)
    await http.close()
    outcome = await client.fetch_tcts.outcome()
    assert (outcome.value, outcome.reason) == ([], "bad_shape")


@pytest.mark.parametrize("status", [200, 404, 500])
async def test_any_answer_between_two_refusals_keeps_the_circuit_closed(
    status: int, replies: aioresponses, make_client: MakeClient
) -> None:
    refusal = aiohttp.ClientConnectorError(AT, ConnectionRefusedError(111, "no"))
    replies.get(f"{HOST}/api/tcts", exception=refusal)
    replies.get(f"{HOST}/api/tcts", status=status, payload=[])
    replies.get(f"{HOST}/api/tcts", exception=refusal, repeat=True)
    client = make_client(HOST)
    reasons = [(await client.fetch_tcts.outcome()).reason for _ in range(5)]
    assert [reasons[0], *reasons[2:]] == ["refused", "refused", "refused", "breaker_open"]
