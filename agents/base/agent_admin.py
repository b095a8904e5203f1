"""The admin side: what the service may tell this agent to do, and only the service."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from base.agent import Agent
from base.http.turned_away import TurnedAway
from base.http.wire import json_response, read_object, unforeseen
from base.protocol.peers import Peer, http_url
from base.refusals import Fault, malformed

MAX_BODY = 4 << 20
FLUSH_TIMEOUT = 1.0
#: Seconds; the SDK cuts a delegation to its voucher's life anyway, and takes no number beyond 64 bits.
MAX_TTL = 10 * 366 * 24 * 3600
MAX_REASON = 500

Body = dict[str, Any]
Action = Callable[[Body], Awaitable[dict[str, Any]]]


class AdminRoutes:
    """``/admin/…``: authenticated, strictly parsed, every answer with the last ``emitter_seq``."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._turned_away = TurnedAway()
        self._actions: Mapping[tuple[str, str], Action] = {
            ("PUT", "peers"): self._peers,
            ("POST", "initiate-handshake"): self._initiate_handshake,
            ("POST", "invoke"): self._invoke,
            ("POST", "self-execute"): self._self_execute,
            ("POST", "delegate"): self._delegate,
            ("POST", "redeem-delegation"): self._redeem_delegation,
            ("POST", "revoke-tct"): self._revoke_tct,
            ("POST", "refresh-revocations"): self._refresh_revocations,
            ("POST", "renew-tct"): self._renew_tct,
            ("POST", "rotate-keys"): self._rotate_keys,
            ("POST", "tct-cache-stats"): self._tct_cache_stats,
            ("POST", "export-session-bundle"): self._export_session_bundle,
            ("POST", "verify-session-bundle"): self._verify_session_bundle,
            ("POST", "enroll-with-cp"): self._enroll_with_cp,
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
            if fault.code == "unauthorized":
                self._turned_away.note(request, fault)
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
        grants = _names(given.get("requested_grants", []), "requested_grants")
        return await self._agent.initiator.initiate(
            given["peer"],
            grants,
            one_way=_choice(given, "direction", "both", "one") == "one",
            manifest_url=_manifest_url(given),
        )

    async def _invoke(self, body: Body) -> dict[str, Any]:
        given = take(body, {"peer": str, "capability": str, "input": dict}, {"present": str, "manifest_url": str})
        return await self._agent.invoker.invoke(
            given["peer"],
            given["capability"],
            given["input"],
            present="none" if _choice(given, "present", "held", "none") == "none" else "held",
            manifest_url=_manifest_url(given),
        )

    async def _self_execute(self, body: Body) -> dict[str, Any]:
        given = take(body, {"capability": str, "input": dict})
        result = await self._agent.capabilities.execute(given["capability"], given["input"])
        self._agent.telemetry.emit("capability.self_execute", capability=given["capability"])
        return {"result": result}

    async def _delegate(self, body: Body) -> dict[str, Any]:
        required = {"delegatee": str, "via_peer": str, "scope": list}
        given = take(body, required, {"ttl_secs": int, "manifest_url": str})
        scope, ttl_secs = _names(given["scope"], "scope"), _ttl(given)
        return await self._agent.delegations.delegate(
            given["delegatee"], given["via_peer"], scope, ttl_secs, _manifest_url(given)
        )

    async def _redeem_delegation(self, body: Body) -> dict[str, Any]:
        given = take(body, {"target": str, "delegation_token": str}, {"manifest_url": str})
        if not given["delegation_token"]:
            raise malformed("delegation_token: empty")
        return await self._agent.delegations.redeem(given["target"], given["delegation_token"], _manifest_url(given))

    async def _renew_tct(self, body: Body) -> dict[str, Any]:
        given = take(body, {"peer": str}, {"ttl_secs": int})
        return await self._agent.renewer.renew(given["peer"], _ttl(given))

    async def _rotate_keys(self, body: Body) -> dict[str, Any]:
        take(body, {})
        return self._agent.rotation.rotate()

    async def _export_session_bundle(self, body: Body) -> dict[str, Any]:
        given = take(body, {"participants": list})
        return self._agent.coordinator.export(_names(given["participants"], "participants"))

    async def _verify_session_bundle(self, body: Body) -> dict[str, Any]:
        given = take(body, {"coordinator": str, "bundle_ref": str, "sha256": str})
        return await self._agent.bundle_verifier.verify(
            given["coordinator"], _uuid(given["bundle_ref"]), given["sha256"]
        )

    async def _tct_cache_stats(self, body: Body) -> dict[str, Any]:
        take(body, {})
        return {**self._agent.verifier.cache.stats()}

    async def _revoke_tct(self, body: Body) -> dict[str, Any]:
        given = take(body, {"audience": str}, {"reason": str, "local": bool})
        reason = given.get("reason")
        if reason is not None and len(reason) > MAX_REASON:
            raise malformed(f"reason: longer than {MAX_REASON} characters")
        try:
            return self._agent.revoker.revoke(given["audience"], reason, local=given.get("local", True))
        finally:  # also what was revoked before there was no more room
            await self._agent.record.save()

    async def _refresh_revocations(self, body: Body) -> dict[str, Any]:
        given = take(body, {"from": str}, {"peer": str, "jti": str})
        jti, peer = given.get("jti"), given.get("peer")
        from_issuer = _choice(given, "from", "cp", "issuer") == "issuer"
        if from_issuer != (peer is not None):
            raise malformed("peer: goes with from issuer, and only with that")
        if peer is None:
            return await self._agent.refresher.from_control_plane(jti)
        return await self._agent.refresher.from_issuer(peer, jti)

    async def _enroll_with_cp(self, body: Body) -> dict[str, Any]:
        return await self._agent.enrolment.enroll(take(body, {}, {"namespace": str}).get("namespace"))

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
        elif not isinstance(present[name], kind) or (kind is int and isinstance(present[name], bool)):
            raise malformed(f"{name}: not of type {kind.__name__}")
    return present


def _choice(given: Body, name: str, default: str, other: str) -> str:
    value: str = given.get(name, default)
    if value not in (default, other):
        raise malformed(f"{name}: neither {default} nor {other}")
    return value


def _names(values: list[Any], name: str) -> list[str]:
    if not all(isinstance(value, str) and value for value in values):
        raise malformed(f"{name}: not a list of names")
    return values


def _uuid(value: str) -> str:
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise malformed("bundle_ref: not a UUID") from None


def _ttl(given: Body) -> int | None:
    ttl_secs: int | None = given.get("ttl_secs")
    if ttl_secs is not None and not 0 < ttl_secs <= MAX_TTL:
        raise malformed(f"ttl_secs: not between 1 and {MAX_TTL}")
    return ttl_secs


def _manifest_url(given: Body) -> str | None:
    url = given.get("manifest_url")
    return None if url is None else http_url(url, "manifest_url")


def _peer(entry: Any) -> Peer:
    if not isinstance(entry, dict):
        raise malformed("peers: an entry is not a JSON object")
    given = take(entry, {"agent_id": str, "aid": str}, {"manifest_url": str})
    return Peer(given["agent_id"], given["aid"], _manifest_url(given) or "")
