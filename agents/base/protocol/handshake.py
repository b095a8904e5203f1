"""Both ends of the AITP mutual handshake, as one part of the agent."""

from __future__ import annotations

import json
import re
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aitp

from base.http.peer_client import Answer
from base.http.step_mark import to_pass_on
from base.process.bootstrap import Bootstrap
from base.protocol.envelopes import EnvelopeGuard, sender_of
from base.protocol.identity import DUMMY_GRANT, Speaker
from base.protocol.issuer_lists import Look
from base.protocol.manifests import fetch_manifest, presented_by, revocation_list_of
from base.protocol.oidc import OidcTrust
from base.protocol.peers import Peer, is_http_url
from base.protocol.received import await_clock, belongs, token_with
from base.protocol.shared import Shared
from base.protocol.tokens import Token, decode_claims
from base.refusals import Fault, PeerFailed, Refusal, RefusalCode, first_line, malformed, protocol_errors, sdk_code

SESSION_HEADER = "X-Aitp-Session-Id"
MAX_SESSIONS = 256
SESSION_SECS = 60.0
_SESSION_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_SDK_REFUSALS: dict[str, RefusalCode] = {
    "TCT_EXPIRED": "tct_expired",
    "TCT_REVOKED": "tct_revoked",
    "TCT_SIGNATURE_INVALID": "tct_invalid",
    "POP_VERIFICATION_FAILED": "pop_invalid",
}


@dataclass(slots=True)
class Exchange:
    """One handshake on the initiator's side. ``speaker`` has the second manifest when it is one-way; the id comes with
    the hello acknowledgement."""

    peer: Peer
    speaker: Speaker
    one_way: bool
    endpoint: str
    manifest: str
    wanted: list[str]
    look: Look
    session_id: str | None = None

    @property
    def commit_url(self) -> str:
        """Beside the one endpoint that a manifest names."""
        return f"{self.endpoint.rpartition('/')[0]}/commit"


@dataclass(frozen=True, slots=True)
class Pending:
    """A handshake between its hello and its commit, on the responder's side."""

    responder: aitp.ResponderSession
    peer: Peer
    look: Look
    until: float


class SessionMap:
    """Open responder sessions by session id, bounded in number and age."""

    def __init__(self, limit: int = MAX_SESSIONS, seconds: float = SESSION_SECS) -> None:
        self._open: OrderedDict[str, Pending] = OrderedDict()
        self._limit = limit
        self._seconds = seconds

    def add(self, session_id: str, responder: aitp.ResponderSession, peer: Peer, look: Look) -> None:
        while len(self._open) >= self._limit:
            self._open.popitem(last=False)
        self._open[session_id] = Pending(responder, peer, look, time.monotonic() + self._seconds)

    def take(self, session_id: str, peer: Peer) -> Pending:
        """The peer's own session, which is then spent. Raises ``stale`` for one that is gone, or another's."""
        pending = self._open.get(session_id)
        if pending is None or pending.peer.aid != peer.aid:
            raise Refusal("stale", "no such handshake is open; start again")
        del self._open[session_id]
        if time.monotonic() > pending.until:
            raise Refusal("stale", "the handshake took too long; start again")
        return pending


class Handshakes:
    """Starts handshakes with peers and answers theirs. What comes out goes to the token book and the log."""

    def __init__(self, bootstrap: Bootstrap, shared: Shared) -> None:
        self._bootstrap = bootstrap
        self._shared = shared
        self._oidc = OidcTrust(bootstrap.oidc, shared.identity, shared.client)
        self._guard = EnvelopeGuard()
        self._sessions = SessionMap()

    async def initiate(
        self, agent_id: str, requested: list[str], *, one_way: bool, manifest_url: str | None = None
    ) -> dict[str, Any]:
        """Shake hands with a peer; ``requested`` empty asks for all its verified manifest offers.

        ``{"session_id", "peer_aid", "received", "issued"}``; ``issued`` is None when ``one_way``. Raises ``PeerFailed``
        (class ``protocol`` and code ``grants_reduced`` when less was granted than asked for).
        """
        peer = self._shared.peers.named(agent_id)
        exchange: Exchange | None = None
        try:
            exchange = await self._introduce(peer, requested, one_way, manifest_url or peer.manifest_url)
            return await self._exchange(exchange)
        except Fault as fault:
            code = getattr(fault, "peer_code", None) or fault.details.get("class") or fault.code
            session_id = exchange.session_id if exchange else None
            self._report(
                "handshake.failed", peer, session_id, error=str(fault), payload={"code": code, **fault.details}
            )
            raise

    async def _introduce(self, peer: Peer, requested: list[str], one_way: bool, manifest_url: str) -> Exchange:
        """Fetch and verify the peer's manifest; the SDK builds a hello for any."""
        manifest = await fetch_manifest(self._shared.client, peer, manifest_url)
        speaker = self._shared.identity.calling if one_way else self._shared.identity.serving
        wanted = requested or list(manifest.offered)
        look = self._shared.issuer_lists.begin(peer, manifest.revocation_list)
        return Exchange(peer, speaker, one_way, manifest.endpoint, manifest.raw, wanted, look)

    async def _exchange(self, exchange: Exchange) -> dict[str, Any]:
        peer, endpoint = exchange.peer, exchange.endpoint
        options = self._oidc.session_options()
        session = exchange.speaker.agent().new_session(pinned_keys=[peer.aid], **options)
        if not is_http_url(endpoint):
            raise PeerFailed("protocol", "the handshake endpoint is not an http or https URL", url=endpoint[:300])
        with protocol_errors(endpoint):
            hello = await self._oidc.present(session.build_hello, exchange.manifest, exchange.wanted, audience=peer.aid)
        answer = (await self._shared.client.post(endpoint, hello, to_pass_on())).expect_ok()
        session_id = exchange.session_id = _session_id(answer)
        ack = self._open(answer, peer, "mutual_hello_ack")
        self._report("handshake.started", peer, session_id, payload=self._about(exchange))
        with protocol_errors(endpoint):
            commit = session.process_hello_ack(ack, session_id)
        issued = self._issued(commit, peer, exchange.one_way)
        answer = await self._shared.client.post(
            exchange.commit_url, commit, {SESSION_HEADER: session_id, **to_pass_on()}
        )
        answer.expect_ok()
        commit_ack = self._open(answer, peer, "mutual_commit_ack")
        received = await self._complete(session, commit_ack, exchange, answer.url)
        self._shared.tokens.held.add(received)
        tcts = [token.claims for token in (received, issued) if token is not None]
        about = {"tcts": tcts, **self._about(exchange)}
        self._report("handshake.complete", peer, session_id, grants=received.summary()["grants"], payload=about)
        return {
            "session_id": session_id,
            "peer_aid": peer.aid,
            "received": received.summary(),
            "issued": issued.summary() if issued else None,
        }

    def _open(self, answer: Answer, peer: Peer, kind: str) -> str:
        """The peer's message once the guard let it through."""
        raw = answer.text()
        try:
            self._guard.open(raw, peer.aid, kind)
        except Fault as fault:
            code = str(fault.details.get("sdk_code", fault.code))
            raise PeerFailed("protocol", str(fault), url=answer.url, peer_code=code) from fault
        return raw

    def _issued(self, envelope: str, peer: Peer, one_way: bool = False) -> Token | None:
        """Note the token inside a message of our own: the SDK keeps no record of what it issued."""
        if one_way:
            return None
        payload = json.loads(envelope)["payload"]
        token = token_with(payload["tct"], payload["grant_voucher"], peer)
        self._shared.tokens.issued.add(token)
        return token

    async def _complete(self, session: aitp.InitiatorSession, commit_ack: str, exchange: Exchange, url: str) -> Token:
        peer = exchange.peer
        with protocol_errors(url):
            claims = decode_claims(json.loads(commit_ack)["payload"]["tct"])
        await await_clock(claims)
        await exchange.look.settle()
        with protocol_errors(url):
            deny = self._shared.revocations.deny(str(claims["jti"]), peer.aid)
            result = json.loads(session.complete(commit_ack, revoked_jtis=deny))
        token = token_with(result["tct"], result["grant_voucher"], peer)
        if not belongs(token, self._shared.identity.aid):
            raise PeerFailed("protocol", "the token or its voucher is not ours", url=url, peer_code="token_mismatch")
        if missing := set(exchange.wanted) - set(token.claims["grants"]):
            message = f"not granted: {', '.join(sorted(missing))}"
            raise PeerFailed("protocol", message, url=url, peer_code="grants_reduced")
        return token

    async def answer_hello(self, raw: str) -> tuple[str, str]:
        """The ack and the session id. Raises :class:`Refusal`, reported, or 400."""
        with self._refusals_reported(raw) as peer:
            envelope = self._guard.open(raw, peer.aid, "mutual_hello")
            self._shared.peers.admit(peer)
            options = self._oidc.session_options()
            responder = self._shared.identity.serving.agent().new_responder(pinned_keys=[peer.aid], **options)
            with _refusals_from_sdk():
                ack, session_id = await self._oidc.present(responder.process_hello, raw, audience=peer.aid)
            look = self._shared.issuer_lists.begin(peer, revocation_list_of(envelope["payload"]["manifest"]))
            self._sessions.add(session_id, responder, peer, look)
            return ack, session_id

    async def answer_commit(self, raw: str, session_id: str) -> str:
        """The commit's ack; what the initiator issued is kept, unless it is only the dummy grant."""
        with self._refusals_reported(raw, session_id) as peer:
            envelope = self._guard.open(raw, peer.aid, "mutual_commit")
            pending = self._sessions.take(session_id, peer)
            with _refusals_from_sdk():
                claims = decode_claims(envelope["payload"]["tct"])
            await await_clock(claims)
            await pending.look.settle()
            with _refusals_from_sdk():
                deny = self._shared.revocations.deny(str(claims["jti"]), peer.aid)
                commit_ack, result = pending.responder.process_commit(raw, revoked_jtis=deny)
            given = json.loads(result)
            token = token_with(given["tct"], given["grant_voucher"], peer)
            if not belongs(token, self._shared.identity.aid):
                raise Refusal("handshake_refused", "the token or its voucher is not ours", sdk_code="token_mismatch")
            # What a guest gave is of no use: this agent goes nowhere that a guest named.
            if token.claims["grants"] != [DUMMY_GRANT] and self._shared.peers.agent_id_of(peer.aid) is not None:
                self._shared.tokens.held.add(token)
            self._issued(commit_ack, peer)
            return commit_ack

    def _sender(self, aid: str, raw: str, session_id: str | None) -> Peer:
        """Whoever was introduced; for a hello also a stranger with a good manifest, where strangers are welcome."""
        try:
            return self._shared.peers.greeter(aid)
        except Refusal:
            if session_id is not None or not self._shared.peers.open_to_verified:
                raise
            return presented_by(aid, raw)

    @contextmanager
    def _refusals_reported(self, raw: str, session_id: str | None = None) -> Iterator[Peer]:
        """The sender of ``raw``, looked up before any SDK call; refusals inside go to the log."""
        aid = sender_of(raw)
        try:
            yield self._sender(aid, raw, session_id)
        except Refusal as refusal:
            self._shared.telemetry.emit_refusal(
                "handshake.failed",
                initiator=self._shared.peers.agent_id_of(aid),
                target=self._bootstrap.agent_id,
                aid_a=aid[:100],
                aid_b=self._shared.identity.aid,
                session_id=session_id and session_id[:64],
                error=str(refusal),
                payload={"code": refusal.code, **refusal.details, "refused_by": "responder"},
            )
            raise

    def _about(self, exchange: Exchange) -> dict[str, Any]:
        return {"boundary": self._bootstrap.boundary, "direction": "one" if exchange.one_way else "both"}

    def _report(self, event_type: str, peer: Peer, session_id: str | None = None, **fields: Any) -> None:
        self._shared.telemetry.emit(
            event_type,
            initiator=self._bootstrap.agent_id,
            target=peer.agent_id,
            aid_a=self._shared.identity.aid,
            aid_b=peer.aid,
            session_id=session_id,
            **fields,
        )


def _session_id(answer: Answer) -> str:
    value = answer.headers.get(SESSION_HEADER, "")
    if not _SESSION_ID.fullmatch(value):
        message = f"the answer has no usable {SESSION_HEADER}"
        raise PeerFailed("protocol", message, url=answer.url, peer_code="session_id_missing")
    return value


@contextmanager
def _refusals_from_sdk() -> Iterator[None]:
    """The same for what a peer sent us: a refusal, or 400 for what is no handshake message at all."""
    try:
        yield
    except RuntimeError as error:
        code = sdk_code(error)
        refusal = _SDK_REFUSALS.get(code, "handshake_refused")
        raise Refusal(refusal, first_line(error), sdk_code=code) from error
    except (ValueError, KeyError, TypeError) as error:
        raise malformed("not a handshake message") from error
