"""The protocol side: what other agents may ask of this one."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import quote

import aitp
from aiohttp import web

from base.agent import Agent
from base.http.wire import LOOPBACK_NAMES, json_response, read_object, read_text
from base.protocol.handshake import SESSION_HEADER
from base.protocol.identity import COMMIT_PATH, HELLO_PATH, MANIFEST_PATH
from base.protocol.invocation import CHALLENGE_PATH, POP_HEADER, TCT_HEADER
from base.protocol.redemption import CHALLENGE_PATH as REDEEM_CHALLENGE_PATH
from base.protocol.redemption import REDEEM_PATH
from base.protocol.tokens import decode_claims
from base.protocol.verification import Caller
from base.refusals import Fault, Refusal, malformed

MAX_ENVELOPE = 64 << 10
MAX_INPUT = 2 << 20


class ProtocolRoutes:
    """Manifest, DID document, revocation list, handshake, proof of possession, capabilities."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def add_to(self, app: web.Application) -> None:
        router = app.router
        router.add_get(MANIFEST_PATH, self._manifest)
        router.add_get(aitp.REVOCATION_LIST_PATH, self._revocation_list)
        if self._agent.bootstrap.did_web_host:
            router.add_get("/.well-known/did.json", self._did_document)
        router.add_post(HELLO_PATH, self._hello)
        router.add_post(COMMIT_PATH, self._commit)
        router.add_post(CHALLENGE_PATH, self._challenge)
        router.add_post(REDEEM_CHALLENGE_PATH, self._redemption_challenge)
        router.add_post(REDEEM_PATH, self._redeem)
        router.add_post("/capabilities/{name}", self._capability)

    async def _manifest(self, _request: web.Request) -> web.Response:
        return json_response(self._agent.identity.serving.manifest())

    async def _revocation_list(self, _request: web.Request) -> web.Response:
        return json_response(self._agent.revocations.signed_list(self._agent.identity))

    async def _did_document(self, _request: web.Request) -> web.Response:
        given = self._agent.bootstrap
        assert given.did_web_host is not None
        return json_response(did_document(given.did_web_host, given.port, given.base_url + MANIFEST_PATH))

    async def _hello(self, request: web.Request) -> web.Response:
        ack, session_id = await self._agent.handshakes.answer_hello(await read_text(request, MAX_ENVELOPE))
        return json_response(ack, headers={SESSION_HEADER: session_id})

    async def _commit(self, request: web.Request) -> web.Response:
        session_id = request.headers.get(SESSION_HEADER)
        if not session_id:
            raise malformed(f"{SESSION_HEADER} is missing")
        raw = await read_text(request, MAX_ENVELOPE)
        return json_response(await self._agent.handshakes.answer_commit(raw, session_id))

    async def _challenge(self, request: web.Request) -> web.Response:
        await read_text(request, MAX_ENVELOPE)
        token = request.headers.get(TCT_HEADER)
        try:
            return json_response(self._agent.verifier.challenge(token))
        except Refusal as refusal:
            self._report_denied(refusal, None, token)
            raise

    async def _redemption_challenge(self, request: web.Request) -> web.Response:
        delegation = (await read_object(request, MAX_ENVELOPE)).get("delegation_token")
        if not isinstance(delegation, str) or not delegation:
            raise malformed("delegation_token: not a text")
        return json_response(self._agent.redemptions.challenge(delegation))

    async def _redeem(self, request: web.Request) -> web.Response:
        return json_response(await self._agent.redemptions.redeem(await read_text(request, MAX_ENVELOPE)))

    async def _capability(self, request: web.Request) -> web.Response:
        """Authorise on the headers before reading the body: a stranger's megabytes are not worth parsing."""
        name = request.match_info["name"]
        self._agent.capabilities.require(name)
        token = request.headers.get(TCT_HEADER)
        try:
            caller = self._agent.verifier.authorize(token, name, _proof(request))
        except Refusal as refusal:
            self._report_denied(refusal, name, token)
            raise
        task = await read_object(request, MAX_INPUT)
        return await self._execute(name, task, caller)

    async def _execute(self, name: str, task: dict[str, Any], caller: Caller) -> web.Response:
        try:
            result = await self._agent.capabilities.execute(name, task)
        except Fault as fault:
            self._report_invoked(name, caller, fault.status, str(fault))
            raise
        self._report_invoked(name, caller, 200)
        return json_response(result)

    def _report_invoked(self, name: str, caller: Caller, status: int, error: str | None = None) -> None:
        payload = {"status_code": status, **self._named(caller.aid)}
        self._agent.telemetry.emit(
            "capability.invoked", capability=name, jti=caller.jti, aid=caller.aid, error=error, payload=payload
        )

    def _report_denied(self, refusal: Refusal, name: str | None, token: str | None) -> None:
        """The caller named is the token's word for it: a refused call has proven nothing."""
        claims = _claims_or_nothing(token)
        aid, jti = claims.get("sub"), claims.get("jti")
        self._agent.telemetry.emit_refusal(
            "capability.denied",
            capability=name,
            aid=aid[:100] if isinstance(aid, str) else None,
            jti=jti[:100] if isinstance(jti, str) else None,
            error=str(refusal),
            payload={"code": refusal.code, **refusal.details, **self._named(str(aid))},
        )

    def _named(self, aid: str) -> dict[str, str]:
        agent_id = self._agent.peers.agent_id_of(aid)
        return {} if agent_id is None else {"caller": agent_id}


def did_document(host: str, port: int, manifest_url: str) -> dict[str, Any]:
    """A did:web document that points to the manifest. Of a loopback host only the name counts; the port is ours."""
    name = host.partition(":")[0]
    did = "did:web:" + quote(f"{name}:{port}" if name in LOOPBACK_NAMES else host, safe=".-_")
    service = {"id": f"{did}#aitp", "type": "AitpManifest", "serviceEndpoint": manifest_url}
    return {"@context": ["https://www.w3.org/ns/did/v1"], "id": did, "service": [service]}


def _proof(request: web.Request) -> str | None:
    text = request.headers.get(POP_HEADER)
    if text is None:
        return None
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise malformed(f"{POP_HEADER} is not base64url") from None


def _claims_or_nothing(token: str | None) -> dict[str, Any]:
    try:
        return decode_claims(token or "")
    except ValueError:
        return {}
