"""The admin side: what the service may tell this agent to do, and only the service."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from base.peers import Peer, http_url
from base.refusals import Fault, malformed
from base.wire import json_response, read_object, unforeseen

if TYPE_CHECKING:
    from base.agent import Agent

MAX_BODY = 4 << 20
FLUSH_TIMEOUT = 1.0

Body = dict[str, Any]
Action = Callable[[Body], Awaitable[dict[str, Any]]]


class AdminRoutes:
    """``/admin/…``: authenticated, strictly parsed, every answer with the last ``emitter_seq``."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._actions: Mapping[tuple[str, str], Action] = {
            ("PUT", "peers"): self._peers,
            ("POST", "initiate-handshake"): self._initiate_handshake,
            ("POST", "invoke"): self._invoke,
            ("POST", "self-execute"): self._self_execute,
            ("POST", "flush"): self._flush,
        }

    def add_to(self, app: web.Application) -> None:
        app.router.add_route("*", "/admin/{action:.*}", self._handle)

    async def _handle(self, request: web.Request) -> web.Response:
        try:
            self._authenticate(request)
            action = self._action(request.method, request.match_info["action"])
            status, body = 200, await action(await read_object(request, MAX_BODY))
        except Fault as fault:
            status, body = fault.status, fault.body()
        except Exception:  # noqa: BLE001 - also what nobody foresaw is answered with the number of the last event
            status, body = 500, unforeseen().body()
        return json_response({**body, "emitter_seq": self._agent.telemetry.emitter_seq}, status=status)

    def _authenticate(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        shown = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        if not hmac.compare_digest(shown, self._agent.bootstrap.admin_token_sha256) or scheme.lower() != "bearer":
            raise Fault(401, "unauthorized", "the admin routes need this agent's admin token")

    def _action(self, method: str, name: str) -> Action:
        action = self._actions.get((method, name))
        if action is not None:
            return action
        if any(name == known for _, known in self._actions):
            raise Fault(405, "method_not_allowed", f"{method} is not for this route")
        raise Fault(404, "not_found", "no such admin route")

    async def _peers(self, body: Body) -> dict[str, Any]:
        listed = take(body, required={"peers": list})["peers"]
        return {"peers": self._agent.peers.replace(_peer(entry) for entry in listed)}

    async def _initiate_handshake(self, body: Body) -> dict[str, Any]:
        given = take(body, {"peer": str}, {"requested_grants": list, "direction": str, "manifest_url": str})
        grants = given.get("requested_grants", [])
        if not all(isinstance(grant, str) and grant for grant in grants):
            raise malformed("requested_grants: not a list of names")
        manifest_url = given.get("manifest_url")
        return await self._agent.handshakes.initiate(
            given["peer"],
            grants,
            one_way=_choice(given, "direction", "both", "one") == "one",
            manifest_url=manifest_url and http_url(manifest_url, "manifest_url"),
        )

    async def _invoke(self, body: Body) -> dict[str, Any]:
        given = take(body, {"peer": str, "capability": str, "input": dict}, {"present": str, "manifest_url": str})
        manifest_url = given.get("manifest_url")
        return await self._agent.invoker.invoke(
            given["peer"],
            given["capability"],
            given["input"],
            present="none" if _choice(given, "present", "held", "none") == "none" else "held",
            manifest_url=manifest_url and http_url(manifest_url, "manifest_url"),
        )

    async def _self_execute(self, body: Body) -> dict[str, Any]:
        given = take(body, {"capability": str, "input": dict})
        result = await self._agent.capabilities.execute(given["capability"], given["input"])
        self._agent.telemetry.emit("capability.self_execute", capability=given["capability"])
        return {"result": result}

    async def _flush(self, body: Body) -> dict[str, Any]:
        take(body, {})
        await self._agent.telemetry.flush(FLUSH_TIMEOUT)
        return {}


def take(body: Body, required: Mapping[str, type], optional: Mapping[str, type] | None = None) -> Body:
    """``body`` when it has these keys and no other, each of its type; an optional null is absent. Raises 400."""
    optional = optional or {}
    if unknown := body.keys() - required.keys() - optional.keys():
        raise malformed(f"{min(unknown)[:100]}: unknown key")
    present = {name: value for name, value in body.items() if value is not None or name in required}
    for name, kind in {**required, **optional}.items():
        if name not in present:
            if name in required:
                raise malformed(f"{name}: missing")
        elif not isinstance(present[name], kind):
            raise malformed(f"{name}: not of type {kind.__name__}")
    return present


def _choice(given: Body, name: str, default: str, other: str) -> str:
    value: str = given.get(name, default)
    if value not in (default, other):
        raise malformed(f"{name}: neither {default} nor {other}")
    return value


def _peer(entry: Any) -> Peer:
    if not isinstance(entry, dict):
        raise malformed("peers: an entry is not a JSON object")
    given = take(entry, {"agent_id": str, "aid": str, "manifest_url": str})
    return Peer(given["agent_id"], given["aid"], http_url(given["manifest_url"], "manifest_url"))
