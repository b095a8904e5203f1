"""Where an agent without a run reports what it does: a receiver that logs it."""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import AsyncIterator
from typing import Any, Final

import orjson
import structlog
from aiohttp import web

from aitp_playground.events.vocabulary import spec
from aitp_playground.hosting.bootstrap import Telemetry, mint_token

_PATH: Final = "/telemetry"
_MAX_BODY: Final = 4 << 20
#: Of an event's fields, those that are logged.
_TOLD: Final = ("capability", "aid", "aid_a", "aid_b", "session_id", "jti", "grants", "cause", "error")
#: Characters of a part of its payload that is logged.
_LONGEST: Final = 300

log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def telemetry_sink() -> AsyncIterator[Telemetry]:
    """Listen on loopback; where to send, and the token to send with."""
    token = mint_token()
    app = web.Application(client_max_size=_MAX_BODY)
    app.router.add_post(_PATH, _Sink(token).take)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Telemetry(url=f"http://127.0.0.1:{runner.addresses[0][1]}{_PATH}", token=token)
    finally:
        await runner.cleanup()


class _Sink:
    """Logs each event once: a batch whose answer was lost comes again."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()
        self._last = 0

    async def take(self, request: web.Request) -> web.Response:
        shown = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(shown, self._expected):
            return web.Response(status=401)
        try:
            events = orjson.loads(await request.read())["events"]
            accepted = sum(self._log(event) for event in events)
        except (ValueError, TypeError, KeyError):
            return web.Response(status=400)
        return web.json_response({"accepted": accepted, "emitter_seq": self._last})

    def _log(self, event: dict[str, Any]) -> bool:
        number, kind = int(event["emitter_seq"]), str(event["type"])
        if number <= self._last:
            return False
        self._last = number
        row = spec(kind)
        told = {name: event[name] for name in _TOLD if event.get(name) is not None}
        # At the level of a run's log; codes, sources and the like are in the payload. What the vocabulary does not
        # name is left out: it could be called like a part of the line.
        said = event["payload"] if isinstance(event.get("payload"), dict) else {}
        declared = row.payload if row is not None else frozenset[str]()
        told |= {name: said[name] for name in sorted(declared & said.keys() - told.keys()) if _is_short(said[name])}
        getattr(log, row.level if row is not None else "info")(kind, **told)
        return True


def _is_short(value: Any) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and len(value) <= _LONGEST)
