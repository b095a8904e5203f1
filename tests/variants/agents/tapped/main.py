"""A worker that writes down every message it takes and sends, as a line of JSON for each, refused ones too.

What it sends has two lines: ``sent`` before it goes out, ``asked`` when it was answered. So what was cut off has the
first alone, even if this process is killed meanwhile. Each bears a number, in a header besides those of the protocol,
under which the one that it is asked of writes it down as ``served``.

``TAP_WORKER`` of its environment names the module of the worker that it is, a shipped one or another variant, and
``TAP_FILE`` the file that the lines go to. They hold tokens: this is for tests.
"""

from __future__ import annotations

import json
import os
import runpy
import time
import uuid
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
_NUMBER = "X-AITP-Tap"
#: The body of the request that is being answered.
_taken: ContextVar[bytearray] = ContextVar("taken")
_agents: list[Agent] = []


def _write(at: float, side: str, **fields: Any) -> None:
    [agent] = _agents
    given = agent.bootstrap
    named = {"at": at, "until": time.time(), "side": side, "agent": given.agent_id, "aid": agent.identity.aid}
    named |= {"port": given.port, "rules": _rules(agent)}
    if given.oidc is not None:
        named["trusted"] = {issuer: list(keys) for issuer, keys in given.oidc.trusted.items()}
    line = json.dumps({**named, **fields}).encode() + b"\n"
    # One write of a line that is appended: the lines of several processes do not mix.
    assert os.write(_descriptor, line) == len(line)


def _rules(agent: Agent) -> dict[str, Any]:
    """What this agent was told to go by."""
    given, revocation = agent.bootstrap, agent.bootstrap.revocation
    return {
        "accepted_identity_types": list(given.accepted_identity_types),
        "issuer_fail_mode": revocation.issuer_fail_mode,
        "fail_mode": revocation.fail_mode,
        "safe_caps": list(revocation.safe_caps),
        "max_staleness_secs": revocation.max_staleness_secs,
    }


def _interesting(headers: Mapping[str, str]) -> dict[str, str]:
    lower = {name.lower(): value for name, value in headers.items()}
    return {name: value for name, value in lower.items() if name.startswith("x-aitp-") and name != _NUMBER.lower()}


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
        id=request.headers.get(_NUMBER),
        client=request.headers.get("User-Agent"),
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
    at, number = time.time(), str(uuid.uuid4())
    asked = {
        "id": number,
        "aid_before": _agents[0].identity.aid,
        "method": method,
        "path": url,
        "headers": _interesting(headers),
        "body": body or "",
    }
    _write(at, "sent", **asked, status=None, answer_headers={}, answer="")
    answer: Answer = await _request(self, method, url, body, {**headers, _NUMBER: number}, *rest)
    told = {"answer_headers": _interesting(answer.headers), "answer": answer.body.decode(errors="replace")}
    _write(at, "asked", **asked, status=answer.status, **told)
    return answer


if __name__ == "__main__":
    wire.read_bounded = _read_and_keep
    serving.application = _tapped
    PeerClient._request = _ask  # type: ignore[method-assign]
    runpy.run_module(os.environ["TAP_WORKER"], run_name="__main__", alter_sys=True)
