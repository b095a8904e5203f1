"""A worker that writes down, with each event that it reports and each answer to the service, what its book holds.

``BOOK_WORKER`` of its environment names the module of the worker that it is, and ``BOOK_FILE`` the file that the lines
go to: ``{"agent", "aid", "reported", "held", "issued", "revoked", "denied"}``, where ``reported`` is how many events it
has reported, tokens stand with what they are, ``issued`` lacks those that the protocol wanted and nobody is to have (a
handshake of one direction), and ``denied`` has those it knows of that a list of others names.
"""

from __future__ import annotations

import json
import os
import runpy
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from base.agent import Agent
from base.process import serving
from base.protocol.tokens import Token
from base.telemetry import Telemetry

_descriptor = os.open(os.environ["BOOK_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_application, _emit = serving.application, Telemetry.emit
_agents: list[Agent] = []


def _tokens(shelf: Iterable[Token]) -> dict[str, list[Any]]:
    return {token.jti: [token.peer_aid, token.claims["grants"], token.claims["exp"]] for token in shelf}


def _write() -> None:
    if not _agents:
        return
    [agent] = _agents
    book, revocations = agent.tokens, agent.revocations
    known = {token.jti for shelf in (book.held, book.issued) for token in shelf}
    lists = revocations._lists.values()
    told = {
        "agent": agent.bootstrap.agent_id,
        "aid": agent.identity.aid,
        "reported": agent.telemetry.emitter_seq,
        "held": _tokens(book.held),
        "issued": _tokens(token for token in book.issued if not revocations.is_withheld(token.jti)),
        "revoked": sorted(revocations._local),
        "denied": sorted(jti for jti in known if any(jti.lower() in ids for ids in lists)),
    }
    line = json.dumps(told).encode() + b"\n"
    assert os.write(_descriptor, line) == len(line)


def _noted(self: Telemetry, *args: Any, **fields: Any) -> Any:
    said = _emit(self, *args, **fields)
    _write()
    return said


@web.middleware
async def _after(request: web.Request, handler: Any) -> web.StreamResponse:
    response: web.StreamResponse = await handler(request)
    _write()
    return response


def _booked(agent: Agent) -> web.Application:
    _agents.append(agent)
    app = _application(agent)
    app.middlewares.insert(0, _after)
    return app


if __name__ == "__main__":
    serving.application = _booked
    Telemetry.emit = _noted  # type: ignore[method-assign]
    runpy.run_module(os.environ["BOOK_WORKER"], run_name="__main__", alter_sys=True)
