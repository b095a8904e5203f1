"""JSON answers, and what a request carries until it is answered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from aitp_playground.control_plane.wire.errors import Refused

REQUEST_ID = web.RequestKey("request_id", str)
#: ``apikey:`` and the beginning of the presented key's SHA-256; set once the key was found good.
CALLER = web.RequestKey("caller", str)


def answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """``data`` as JSON."""
    return web.Response(body=orjson.dumps(data), status=status, headers=headers, content_type="application/json")


def attachment(name: str, data: Any) -> web.Response:
    """``data`` as a JSON file to be saved under ``name`` (RFC 6266)."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return answer(data, headers={"Content-Disposition": f'attachment; filename="{safe}"'})


def refusal(refused: Refused) -> web.Response:
    """A refusal as JSON."""
    return answer(refused.body, refused.status, refused.headers)
