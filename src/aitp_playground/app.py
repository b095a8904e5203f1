"""Composition root: services in, one aiohttp application out."""

from __future__ import annotations

from aiohttp import web

from aitp_playground import api


def build_api(services: api.Services, *, streams: api.StreamOptions | None = None) -> web.Application:
    """The HTTP side of the playground. The services are started and closed by whoever made them."""
    app = web.Application(client_max_size=api.CLIENT_MAX_SIZE)
    api.setup(app, services, streams=streams)
    return app
