"""Headers that every answer carries, streams and errors included. A handler's own value wins."""

from __future__ import annotations

from aiohttp import hdrs, web

_DEFAULTS = {
    hdrs.CACHE_CONTROL: "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


async def secure(_request: web.Request, response: web.StreamResponse) -> None:
    """Runs just before the headers of an answer are sent. Nobody needs to know which server this is."""
    for name, value in _DEFAULTS.items():
        response.headers.setdefault(name, value)
    response.headers.popall(hdrs.SERVER, None)
