"""A worker that writes down every message it takes and sends, as a line of JSON for each, refused ones too.

``TAP_WORKER`` of its environment names the module of the worker that it is, a shipped one or another variant, and
``TAP_FILE`` the file that the lines go to. They hold tokens: this is for tests.
"""

from __future__ import annotations

import json
import os
import runpy
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from aiohttp import web

from base.agent import Agent
from base.http import wire
from base.http.peer_client import Answer, PeerClient
from base.process import serving

_descriptor = os.open(os.environ["TAP_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_read, _application, _request = wire.read_bounded, serving.application, PeerClient._request
#: The body of the request that is being answered.
_taken: ContextVar[bytearray] = ContextVar("taken")
_agents: list[Agent] = []


def _write(at: float, side: str, **fields: Any) -> None:
    [agent] = _agents
    given = agent.bootstrap
    named = {"at": at, "side": side, "agent": given.agent_id, "aid": agent.identity.aid}
    if given.oidc is not None:
        named["trusted"] = {issuer: list(keys) for issuer, keys in given.oidc.trusted.items()}
    line = json.dumps({**named, **fields}).encode() + b"\n"
    # One write of a line that is appended: the lines of several processes do not mix.
    assert os.write(_descriptor, line) == len(line)


def _interesting(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items() if name.lower().startswith("x-aitp-")}


async def _read_and_keep(content: Any, limit: int) -> bytes | None:
    body = await _read(content, limit)
    _taken.get().extend(body or b"")
    return body


@web.middleware
async def _tap(request: web.Request, handler: Any) -> web.StreamResponse:
    [agent] = _agents
    aid_before, at = agent.identity.aid, time.time()
    # What this agent has revoked by now, as it would say itself.
    signed_list = agent.revocations.signed_list(agent.identity)
    _taken.set(bytearray())
    response: web.Response = await handler(request)
    _write(
        at,
        "served",
        aid_before=aid_before,
        method=request.method,
        path=request.path,
        headers=_interesting(request.headers),
        body=_taken.get().decode(errors="replace"),
        status=response.status,
        answer_headers=_interesting(response.headers),
        answer=response.text or "",
        list=signed_list,
    )
    return response


def _tapped(agent: Agent) -> web.Application:
    _agents.append(agent)
    app = _application(agent)
    app.middlewares.insert(0, _tap)
    return app


async def _ask(
    self: PeerClient, method: str, url: str, body: str | None, headers: Mapping[str, str], *rest: Any
) -> Answer:
    aid_before, at = _agents[0].identity.aid, time.time()
    answer: Answer = await _request(self, method, url, body, headers, *rest)
    _write(
        at,
        "asked",
        aid_before=aid_before,
        method=method,
        path=url,
        headers=_interesting(headers),
        body=body or "",
        status=answer.status,
        answer_headers=_interesting(answer.headers),
        answer=answer.body.decode(errors="replace"),
    )
    return answer


if __name__ == "__main__":
    wire.read_bounded = _read_and_keep
    serving.application = _tapped
    PeerClient._request = _ask  # type: ignore[method-assign]
    runpy.run_module(os.environ["TAP_WORKER"], run_name="__main__", alter_sys=True)
