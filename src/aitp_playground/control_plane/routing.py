"""A route as a resource declares it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

from aiohttp import web

from aitp_playground.control_plane.service import ControlPlane

#: Where the public documents lie: the place of RFC 8615, and the one it is mapped to inside.
WELL_KNOWN: Final = ("/.well-known", "/api/well-known")

ResourceHandler = Callable[[web.Request, ControlPlane], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """``path`` has aiohttp's placeholders. ``auth`` none: the handler itself decides who may.

    ``idempotent``: an ``Idempotency-Key`` makes the first answer be given again.
    """

    method: str
    path: str
    handler: ResourceHandler
    auth: Literal["none", "key"] = "key"
    idempotent: bool = False
