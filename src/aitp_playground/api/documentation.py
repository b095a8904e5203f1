"""The contract of the service, for programs and for people. It holds no data, and nobody needs a key to read it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Annotated, Any

from aiohttp import hdrs, web
from pydantic import WithJsonSchema

from aitp_playground.api.contract.document import Route, document
from aitp_playground.api.contract.operations import IF_NONE_MATCH, JSON, UNCHANGED, Answer, SentHeader, Tag, operation
from aitp_playground.api.contract.page import page
from aitp_playground.api.static import Static

TAG = Tag("Contract", "This document, for programs and for people.")
#: Nothing but the page's own style and script, from here; and the page asks for nothing.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HTML = "text/html"
_STYLE, _SCRIPT = "docs.css", "docs.js"
_TAGGED = (SentHeader(hdrs.ETAG, "For `If-None-Match`."),)
_OpenApi = Annotated[
    Any,
    WithJsonSchema(
        {
            "type": "object",
            "description": "An OpenAPI 3.1 document.",
            "required": ["openapi", "info", "paths"],
            "properties": {"openapi": {"type": "string"}, "info": {"type": "object"}, "paths": {"type": "object"}},
        }
    ),
]


class Contract:
    """What the routes of one application answer and take, made when it is asked for first."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        self._lock = threading.Lock()
        self._made: Mapping[str, Static] | None = None

    async def get(self, name: str) -> Static:
        """``openapi.json``, ``docs``, or a file that the page needs."""
        made = self._made if self._made is not None else await asyncio.to_thread(self._make)
        return made[name]

    def _make(self) -> Mapping[str, Static]:
        """Takes some 0.2 s, in pieces that the interpreter can leave."""
        with self._lock:
            made = self._made
            if made is not None:
                return made
            described = document(self._routes)
            beside = files("aitp_playground.api.contract") / "assets"
            made = self._made = {
                "openapi.json": Static(text_of(described).encode(), JSON),
                "docs": Static(page(described).encode(), _HTML, policy=_POLICY),
                _STYLE: Static((beside / _STYLE).read_bytes(), "text/css"),
                _SCRIPT: Static((beside / _SCRIPT).read_bytes(), "text/javascript"),
            }
            return made


CONTRACT = web.AppKey("contract", Contract)


def text_of(described: dict[str, Any]) -> str:
    """The document as it is served and as it is written to a file: always the same for the same document."""
    return json.dumps(described, indent=2, ensure_ascii=False) + "\n"


@operation(
    "getOpenApi",
    "Get this contract as an OpenAPI document",
    Answer("The document.", _OpenApi, headers=_TAGGED),
    UNCHANGED,
    headers=(IF_NONE_MATCH,),
)
async def show_openapi(request: web.Request) -> web.Response:
    """OpenAPI 3.1. The same for everybody, whatever the settings."""
    return (await request.app[CONTRACT].get("openapi.json")).to(request)


@operation(
    "getDocs",
    "Get this contract as a page",
    Answer("The page.", str, content_type=_HTML, headers=_TAGGED),
    UNCHANGED,
    headers=(IF_NONE_MATCH,),
)
async def show_docs(request: web.Request) -> web.Response:
    """It asks no other host for anything, and can be read without its script."""
    return (await request.app[CONTRACT].get("docs")).to(request)


@operation(
    "getDocsStyle",
    "Get the style of the page",
    Answer("The style sheet.", str, content_type="text/css", headers=_TAGGED),
    UNCHANGED,
    headers=(IF_NONE_MATCH,),
)
async def show_style(request: web.Request) -> web.Response:
    """For light and dark, wide and narrow."""
    return (await request.app[CONTRACT].get(_STYLE)).to(request)


@operation(
    "getDocsScript",
    "Get the script of the page",
    Answer("The script.", str, content_type="text/javascript", headers=_TAGGED),
    UNCHANGED,
    headers=(IF_NONE_MATCH,),
)
async def show_script(request: web.Request) -> web.Response:
    """Filters the list, and puts this server's address into the examples."""
    return (await request.app[CONTRACT].get(_SCRIPT)).to(request)


ROUTES = [
    web.get("/openapi.json", show_openapi),
    web.get("/docs", show_docs),
    web.get(f"/docs/{_STYLE}", show_style),
    web.get(f"/docs/{_SCRIPT}", show_script),
]
