"""The foreign agent is there for others: its manifest, its list, the handshake in either style, calls, redemptions."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aitp_verifier.errors import AitpError

from tests.interop.foreign import errors
from tests.interop.foreign.agent import ForeignAgent
from tests.interop.foreign.client import SESSION, Style
from tests.interop.foreign.envelopes import Alter, Envelope, decode, opened
from tests.interop.foreign.handshake import Responder, check_greeting
from tests.interop.foreign.keys import same_key
from tests.interop.foreign.manifests import WELL_KNOWN
from tests.interop.foreign.owner import Owner
from tests.interop.foreign.possession import HEADERS
from tests.interop.foreign.tokens import Grant, claims_of

#: What is answered in place of an honest message: given the request and that message.
Instead = Callable[[web.Request, Envelope], Awaitable[web.StreamResponse]]
ENDPOINTS = {"rfc": "/talk", "binding": "/aitp/handshake/"}


@dataclass
class Conduct:
    """How it departs from the honest course; stages are ``ack``, ``commit_ack`` and ``challenge``."""

    alter: dict[str, Alter] = field(default_factory=dict)
    instead: dict[str, Instead] = field(default_factory=dict)
    #: The token of the acknowledged commit, in place of the one that the policy gives.
    grant: Callable[[Responder], Grant] | None = None
    #: Whether it challenges as agents did before envelopes, and takes an answer in that form.
    bare_challenges: bool = False
    #: How it answers at a place where there is nothing.
    missing: int = 404
    #: What is served under the well-known path, in place of the manifest that the messages carry.
    manifest: Callable[[], web.StreamResponse] | None = None
    #: What is served where the list should be.
    revocations: Callable[[], web.StreamResponse] | None = None


class Server:
    """Serves one :class:`ForeignAgent` on loopback, in one style."""

    def __init__(self, agent: ForeignAgent, style: Style = "rfc") -> None:
        self.agent = agent
        self.style = style
        self.conduct = Conduct()
        #: What came, in order: path, session header, parsed body.
        self.received: list[tuple[str, str | None, Any]] = []
        #: Calls that were let in: capability, caller.
        self.served: list[tuple[str, str]] = []
        #: Calls that came, and requests for the list.
        self.called = 0
        self.list_asked = 0
        #: The header that goes with an acknowledgement, as it was the last time.
        self.session: dict[str, str] = {}
        self._places: dict[str, str] = {}
        self._open: dict[str, Responder] = {}
        self._seen: set[str] = set()
        self._owner = Owner(agent)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get(WELL_KNOWN, self._manifest)
        app.router.add_get("/revoked", self._list)
        app.router.add_post("/aitp/pop/challenge", self._challenge)
        app.router.add_post("/capabilities/{name}", self._capability)
        app.router.add_post("/aitp/tct/renew", self._renew)
        app.router.add_post("/aitp/delegation/challenge", self._delegation_challenge)
        app.router.add_post("/aitp/delegation/redeem", self._redeem)
        app.router.add_post("/{path:.*}", self._handshake)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.agent.base_url = f"http://localhost:{self._runner.addresses[0][1]}"
        self.place(ENDPOINTS[self.style])

    def place(self, endpoint: str, *, only_itself: bool = False) -> None:
        """Publish a handshake endpoint: one URL, a base (last slash), or a ``hello`` with a ``commit`` beside it."""
        if endpoint.endswith("/") and not only_itself:
            self._places = {"mutual_hello": f"{endpoint}hello", "mutual_commit": f"{endpoint}commit"}
        elif endpoint.endswith("/hello"):
            self._places = {"mutual_hello": endpoint, "mutual_commit": f"{endpoint.removesuffix('hello')}commit"}
        else:
            self._places = {"mutual_hello": endpoint, "mutual_commit": endpoint}
        self.agent.endpoint = self.agent.base_url + endpoint
        self.agent.publish()

    @property
    def paths(self) -> list[str]:
        """Where something was posted, in order."""
        return [path for path, _, _ in self.received]

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def messages(self, kind: str) -> list[Envelope]:
        """The envelopes of one type that came."""
        return [body for _, _, body in self.received if isinstance(body, dict) and body.get("message_type") == kind]

    @property
    def tokens(self) -> list[str]:
        """The tokens in the commits that came, verified or not."""
        return [message["payload"]["tct"] for message in self.messages("mutual_commit")]

    async def _manifest(self, _request: web.Request) -> web.StreamResponse:
        if self.conduct.manifest is not None:
            return self.conduct.manifest()
        return web.json_response({"manifest": self.agent.manifest()})

    async def _list(self, _request: web.Request) -> web.StreamResponse:
        self.list_asked += 1
        if self.conduct.revocations is not None:
            return self.conduct.revocations()
        return web.json_response(self.agent.revocation_list())

    # --- the handshake (RFC-AITP-0004)

    async def _handshake(self, request: web.Request) -> web.StreamResponse:
        session = request.headers.get(SESSION)
        try:
            envelope = await request.json()
            self.received.append((request.path, session, envelope))
            if request.path not in self._places.values():
                return web.Response(status=self.conduct.missing, text="nothing here")
            if envelope["message_type"] == "error":
                return self._give_up(envelope)
            kind = self._kind(request, envelope)
            if kind == "mutual_hello":
                return await self._hello(request, envelope)
            return await self._commit(request, envelope, session)
        except AitpError as error:
            return self._refuse(error)
        except (ValueError, KeyError, TypeError) as error:
            return self._refuse(AitpError("INVALID_ENVELOPE", repr(error)))

    def _give_up(self, envelope: Envelope) -> web.Response:
        """The other side says that the handshake failed: what came of it is worth nothing (RFC-AITP-0004 6)."""
        sender = self._known(str(envelope["sender"]["agent_id"]))
        opened(envelope, sender, "error", self.agent.now())
        self.agent.held.pop(sender, None)
        return web.json_response({})

    def _kind(self, request: web.Request, envelope: Envelope) -> str:
        kind = str(envelope["message_type"])
        if self._places.get(kind) != request.path:
            raise AitpError("INVALID_ENVELOPE", f"a {kind} does not belong here")
        if envelope["message_id"] in self._seen:
            raise AitpError("REPLAY_DETECTED", "this was received before")
        self._seen.add(envelope["message_id"])
        return kind

    async def _hello(self, request: web.Request, envelope: Envelope) -> web.StreamResponse:
        sender = self._known(envelope["sender"]["agent_id"])
        check_greeting(self.agent, envelope, "mutual_hello", sender)
        responder = Responder(self.agent, envelope)
        ack = responder.ack(self.conduct.alter.get("ack"))
        nonce = str(ack["payload"].get("pop_nonce"))
        self._open[secrets.token_hex(16) if self.style == "binding" else nonce] = responder
        self.session = {SESSION: next(reversed(self._open))} if self.style == "binding" else {}
        return await self._answer(request, "ack", ack, self.session)

    async def _commit(self, request: web.Request, envelope: Envelope, session: str | None) -> web.StreamResponse:
        """The handshake is found by the session header in the binding, by the nonce that is echoed else."""
        place = session if self.style == "binding" else envelope["payload"]["pop_nonce_echo"]
        responder = self._open.pop(place or "", None)
        if responder is None or not same_key(responder.peer, envelope["sender"]["agent_id"]):
            raise AitpError("INVALID_ENVELOPE", "no such handshake is open")
        responder.take_commit(envelope)
        grant = self.conduct.grant(responder) if self.conduct.grant else None
        commit_ack = responder.commit_ack(self.conduct.alter.get("commit_ack"), grant)
        return await self._answer(request, "commit_ack", commit_ack, {})

    async def _answer(
        self, request: web.Request, stage: str, message: Envelope, headers: dict[str, str]
    ) -> web.StreamResponse:
        if stage in self.conduct.instead:
            return await self.conduct.instead[stage](request, message)
        return web.json_response(message, headers=headers)

    def _known(self, aid: str) -> str:
        for known in self.agent.trusted:
            if same_key(known, aid):
                return aid
        raise AitpError("IDENTITY_FAILED", "nobody known here")

    def _refuse(self, error: AitpError, status: int = 400) -> web.Response:
        return self.refusal(error.code, error.message, retryable=error.retryable, status=status)

    def refusal(self, code: str, reason: str, *, retryable: bool = False, status: int = 400) -> web.Response:
        """In this agent's style: a signed envelope, or the binding's body."""
        if self.style == "rfc":
            payload = errors.payload(code, reason, retryable=retryable)
            return web.json_response(self.agent.message("error", payload), status=status)
        body = {"error": {"code": code, "message": reason}}
        return web.json_response(body, status=status, headers={"Cache-Control": "no-store"})

    # --- calls under a token (RFC-AITP-0005 6.1, 10.5)

    async def _challenge(self, request: web.Request) -> web.StreamResponse:
        challenge = self._owner.challenge(str(claims_of(request.headers["X-AITP-TCT"])["jti"]))
        return await self._answer(request, "challenge", self._formed(challenge), {})

    def _formed(self, challenge: dict[str, Any]) -> Envelope:
        if self.conduct.bare_challenges:
            return challenge
        return self.agent.message("pop_challenge", challenge, self.conduct.alter.get("challenge"))

    async def _capability(self, request: web.Request) -> web.StreamResponse:
        name, tct = request.match_info["name"], request.headers.get("X-AITP-TCT", "")
        self.called += 1
        try:
            caller = self._owner.caller(tct, self._response(request), name)
        except AitpError as error:
            return self._refuse(error, 403)
        self.served.append((name, caller))
        return web.json_response({"did": name, "with": await request.json()})

    def _response(self, request: web.Request) -> Envelope | None:
        """The proof of possession that came along."""
        proof = next((request.headers[header] for header in HEADERS if header in request.headers), None)
        response = json.loads(decode(proof)) if proof else None
        bare = self.conduct.bare_challenges and response is not None
        return self._as_envelope(response) if bare else response

    async def _renew(self, request: web.Request) -> web.StreamResponse:
        try:
            grant = self._owner.renew(await request.json(), request.headers["X-AITP-TCT"], self._response(request))
        except AitpError as error:
            return self._refuse(error, 403)
        return web.json_response({"tct": grant.tct, "grant_voucher": grant.voucher})

    def _as_envelope(self, response: dict[str, Any]) -> Envelope:
        """A bare response in the form that is checked. Nobody signed it, so it is signed here; the proof inside is
        verified all the same, under the key of the token's subject."""
        assert "message_type" not in response, "a bare challenge is answered in its own form"
        return self.agent.message("pop_response", response)

    # --- redemption (RFC-AITP-0006 8)

    async def _delegation_challenge(self, request: web.Request) -> web.StreamResponse:
        await request.json()
        return web.json_response(self._formed(self._owner.challenge()))

    async def _redeem(self, request: web.Request) -> web.StreamResponse:
        try:
            return web.json_response({"tct": self._owner.redeem(await request.json()).tct})
        except AitpError as error:
            return self._refuse(error)
        except (ValueError, KeyError) as error:
            return self._refuse(AitpError("INVALID_ENVELOPE", repr(error)))
