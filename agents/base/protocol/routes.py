"""The protocol side: what other agents may ask of this one."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import aitp
from aiohttp import web

from base.agent import Agent
from base.http.answers import NO_STORE, error_document, error_envelope
from base.http.turned_away import TurnedAway
from base.http.wire import LOOPBACK_NAMES, fault_response, json_response, read_object, read_text, require_json
from base.protocol.bearing import CHALLENGE_PATH, POP_HEADERS, TCT_HEADER
from base.protocol.budgets import Pace
from base.protocol.bundles import BUNDLE_PATH
from base.protocol.envelopes import disclosing
from base.protocol.identity import HANDSHAKE_PATH, MANIFEST_PATH
from base.protocol.initiating import SESSION_HEADER
from base.protocol.redemption import CHALLENGE_PATH as REDEEM_CHALLENGE_PATH
from base.protocol.redemption import REDEEM_PATH
from base.protocol.renewal import RENEW_PATH
from base.protocol.tokens import claims_or_nothing
from base.protocol.verification import Caller
from base.refusals import Fault, Refusal, malformed

MAX_ENVELOPE = 64 << 10
MAX_INPUT = 2 << 20
#: How the HTTP binding answers every failure of a handshake, and everybody a delegation.
_BAD_REQUEST = 400


def _status_of(fault: Fault) -> int:
    """A decision, and what a peer of ours failed to do, is 400 here; what HTTP has a status of its own for keeps it."""
    return fault.status if fault.status in (408, 413, 415, 501, 503) else _BAD_REQUEST


def _status_of_call(fault: Fault) -> int:
    """A decision about a call is 403, and the rest what it is in HTTP."""
    return fault.status


class ProtocolRoutes:
    """Manifest, DID document, revocation list, handshake, proof of possession, capabilities."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._pace = Pace()
        self._turned_away = TurnedAway()

    def add_to(self, app: web.Application) -> None:
        router = app.router
        router.add_get(MANIFEST_PATH, self._manifest)
        router.add_get(aitp.REVOCATION_LIST_PATH, self._revocation_list)
        if self._agent.bootstrap.did_web_host:
            router.add_get("/.well-known/did.json", self._did_document)
        router.add_post(HANDSHAKE_PATH.rstrip("/"), self._handshake)
        router.add_post(HANDSHAKE_PATH, self._handshake)
        router.add_post(HANDSHAKE_PATH + "{message:hello|commit}", self._handshake_of_the_binding)
        router.add_post(CHALLENGE_PATH, self._challenge)
        router.add_post(REDEEM_CHALLENGE_PATH, self._redemption_challenge)
        router.add_post(REDEEM_PATH, self._redeem)
        router.add_post(RENEW_PATH, self._renew)
        router.add_post(BUNDLE_PATH + "{ref}", self._bundle)
        router.add_post("/capabilities/{name}", self._capability)

    async def _manifest(self, _request: web.Request) -> web.Response:
        """To be kept no longer than half of what is left of its life: by then there is a newer one."""
        raw, expires_at = self._agent.identity.published()
        seconds = max(0, int(expires_at - time.time()) // 2)
        return json_response(raw, headers={"Cache-Control": f"max-age={seconds}"})

    async def _revocation_list(self, _request: web.Request) -> web.Response:
        """From here each time: a kept copy says too little."""
        return json_response(
            self._agent.revocations.signed_list(self._agent.identity), headers={"Cache-Control": "no-cache"}
        )

    async def _slow_down(self, fault: Fault) -> None:
        """Whoever was introduced and has proven it is told at once."""
        if not fault.disclosed:
            await self._pace.wait()

    async def _did_document(self, _request: web.Request) -> web.Response:
        given = self._agent.bootstrap
        assert given.did_web_host is not None
        return json_response(did_document(given.did_web_host, given.port, given.base_url + MANIFEST_PATH))

    async def _handshake(self, request: web.Request) -> web.Response:
        """Where the manifest says: what fails here is answered with a signed ``error``."""
        try:
            return await self._answer_handshake(request)
        except Fault as fault:
            self._turned_away.note(request, fault)
            await self._slow_down(fault)
            return error_envelope(fault, self._agent.identity.agent(), _status_of(fault))

    async def _handshake_of_the_binding(self, request: web.Request) -> web.Response:
        return await self._or_document(request, self._answer_handshake(request))

    async def _answer_handshake(self, request: web.Request) -> web.Response:
        require_json(request)
        raw = await read_text(request, MAX_ENVELOPE)
        answer, session_id = await self._agent.responder.answer(raw, request.headers.get(SESSION_HEADER))
        return json_response(answer, headers={**({SESSION_HEADER: session_id} if session_id else {}), **NO_STORE})

    async def _or_document(
        self,
        request: web.Request,
        answer: Awaitable[web.Response],
        status_of: Callable[[Fault], int] = _status_of,
    ) -> web.Response:
        """The answer, or the error document in its place."""
        try:
            return await answer
        except Fault as fault:
            self._turned_away.note(request, fault)
            await self._slow_down(fault)
            return error_document(fault, status_of(fault))

    async def _challenge(self, request: web.Request) -> web.Response:
        return await self._or_document(request, self._give_challenge(request), _status_of_call)

    async def _give_challenge(self, request: web.Request) -> web.Response:
        require_json(request)
        await read_text(request, MAX_ENVELOPE)
        token = request.headers.get(TCT_HEADER)
        try:
            challenge, of_own = self._agent.verifier.challenge(token)
        except Refusal as refusal:
            self._report_denied(refusal, None, token)
            raise
        return await self._challenged(challenge, of_own=of_own)

    async def _challenged(self, challenge: str, *, of_own: bool) -> web.Response:
        """Whoever shows nothing that was made here gets its challenge when it is its turn, as it would a refusal."""
        if not of_own:
            await self._pace.wait()
        return json_response(challenge, headers=NO_STORE)

    async def _redemption_challenge(self, request: web.Request) -> web.Response:
        return await self._or_document(request, self._give_redemption_challenge(request))

    async def _give_redemption_challenge(self, request: web.Request) -> web.Response:
        require_json(request)
        delegation = (await read_object(request, MAX_ENVELOPE)).get("delegation_token")
        if not isinstance(delegation, str) or not delegation:
            raise malformed("delegation_token: not a text")
        challenge = self._agent.redemptions.challenge(delegation)
        # Whoever has a voucher can make up any number of delegations with it: none shows who asks.
        return await self._challenged(challenge, of_own=False)

    async def _redeem(self, request: web.Request) -> web.Response:
        return await self._or_document(request, self._answer_redemption(request))

    async def _answer_redemption(self, request: web.Request) -> web.Response:
        require_json(request)
        answer = await self._agent.redemptions.redeem(await read_text(request, MAX_ENVELOPE))
        return json_response(answer, headers=NO_STORE)

    async def _renew(self, request: web.Request) -> web.Response:
        return await self._or_document(request, self._answer_renewal(request), _status_of_call)

    async def _answer_renewal(self, request: web.Request) -> web.Response:
        require_json(request)
        asked = await read_object(request, MAX_ENVELOPE)
        return json_response(await self._agent.renewals.renew(asked, _proof(request)), headers=NO_STORE)

    async def _bundle(self, request: web.Request) -> web.Response:
        return await self._or_document(request, self._give_bundle(request), _status_of_call)

    async def _give_bundle(self, request: web.Request) -> web.Response:
        require_json(request)
        await read_text(request, MAX_ENVELOPE)
        token, ref = request.headers.get(TCT_HEADER), request.match_info["ref"]
        try:
            bundle = self._agent.coordinator.give(ref, token, _proof(request))
        except Refusal as refusal:
            self._report_denied(refusal, None, token)
            raise
        return json_response(bundle, headers=NO_STORE)

    async def _capability(self, request: web.Request) -> web.Response:
        return await self._or_document(request, self._answer_call(request), _status_of_call)

    async def _answer_call(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        task, caller = await self._admit(request, name)
        return await self._execute(name, task, caller)

    async def _admit(self, request: web.Request, name: str) -> tuple[dict[str, Any], Caller]:
        """Authorise on the headers before reading the body: a stranger's megabytes are not worth parsing."""
        token = request.headers.get(TCT_HEADER)
        try:
            self._agent.capabilities.require(name)
            caller = self._agent.verifier.authorize(token, name, _proof(request))
            with disclosing(self._agent.peers.introduced, caller.aid):
                require_json(request)
                task = await read_object(request, MAX_INPUT, packed=True)
                # A body may take seconds to come.
                self._agent.verifier.confirm(str(token), name, caller)
        except Refusal as refusal:
            self._report_denied(refusal, name, token)
            raise
        return task, caller

    async def _execute(self, name: str, task: dict[str, Any], caller: Caller) -> web.Response:
        """What a capability says of a failure is its own, and no refusal of this agent's."""
        try:
            result = await self._agent.capabilities.execute(name, task)
        except Fault as fault:
            self._report_invoked(name, caller, fault.status, str(fault))
            return fault_response(fault)
        self._report_invoked(name, caller, 200)
        return json_response(result)

    def _report_invoked(self, name: str, caller: Caller, status: int, error: str | None = None) -> None:
        payload = {"status_code": status, **self._named(caller.aid)}
        self._agent.telemetry.emit(
            "capability.invoked", capability=name, jti=caller.jti, aid=caller.aid, error=error, payload=payload
        )

    def _report_denied(self, refusal: Refusal, name: str | None, token: str | None) -> None:
        """The caller named is the token's word for it: a refused call has proven nothing."""
        claims = claims_or_nothing(token)
        aid, jti = claims.get("sub"), claims.get("jti")
        self._agent.telemetry.emit_refusal(
            "capability.denied",
            capability=name,
            aid=aid[:100] if isinstance(aid, str) else None,
            jti=jti[:100] if isinstance(jti, str) else None,
            error=str(refusal),
            payload={**refusal.told(), **self._named(str(aid))},
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
    """The proof of possession that comes along, in whichever of its two headers."""
    name = next((name for name in POP_HEADERS if name in request.headers), None)
    if name is None:
        return None
    text = request.headers[name]
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise Refusal("pop_invalid", f"{name} is not base64url") from None
