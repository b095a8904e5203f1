"""What strangers send to the service may reach its log, but not drive a terminal from there, nor give tokens away."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest

from aitp_playground.observability.logging import Format, configure
from tests.support.playground import playground_at

TOKEN = "dG9rZW4tb2YtYW4tYWdlbnQtdGhhdC1pcy1zZWNyZXQ"


@pytest.mark.parametrize("form", ["json", "console"])
async def test_a_token_in_a_header_that_is_not_http_is_not_quoted_in_the_log(tmp_path: Path, form: Format) -> None:
    written = io.BytesIO()
    logs = configure("DEBUG", form, written)
    try:
        async with playground_at(tmp_path) as running:
            for header in (f"Authori zation: Bearer {TOKEN}", f"Authorization: Bearer {TOKEN}\x01\x1b[2J"):
                reader, writer = await asyncio.open_connection("127.0.0.1", int(running.url.rpartition(":")[2]))
                writer.write(f"GET /runs HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n".encode())
                assert b" 400 " in (await reader.read()).splitlines()[0]
                writer.close()
    finally:
        logs.close()
    assert TOKEN.encode() not in written.getvalue()
    assert b"\x1b" not in written.getvalue()
    lines = [line for line in written.getvalue().decode().splitlines() if "not HTTP: " in line]
    assert len(lines) == 1, "a crowd of them must not fill the log"
    if form == "json":
        assert json.loads(lines[0])["logger"] == "aitp_playground.bounded_server"
