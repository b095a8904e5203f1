"""The initiator's side of the mutual handshake: RFC-AITP-0004, sections 3 to 6."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aitp

from base.aids import same_key
from base.http.peer_client import Answer
from base.http.step_mark import to_pass_on
from base.process.bootstrap import Bootstrap
from base.protocol.diagnosis import tct_defect
from base.protocol.envelopes import Envelope, EnvelopeGuard, read_envelope
from base.protocol.issuer_lists import Look
from base.protocol.manifests import Manifest, fetch_manifest
from base.protocol.oidc import OidcTrust
from base.protocol.one_way import first_alone, marked
from base.protocol.peers import Peer
from base.protocol.presented import check_commit, check_greeting
from base.protocol.received import await_clock, belongs, token_with
from base.protocol.shared import Shared
from base.protocol.tokens import Token, decode_claims
from base.refusals import Fault, PeerFailed, Refusal, first_line, protocol_errors, sdk_code
from base.registry_codes import RETRYABLE, SENTENCES, registered

#: Of the HTTP binding. The standard itself knows no such header, so nothing here needs one.
SESSION_HEADER = "X-Aitp-Session-Id"
#: Seconds for telling a peer that its part of a handshake was no good.
TELLING_TIMEOUT = 2.0
_NO_SUCH_ROUTE = frozenset({404, 405})
_LONGEST_ID = 64


@dataclass(slots=True)
class Exchange:
    """One handshake. ``commit_url`` is known once the hello was taken; ``issued`` once the commit is made."""

    peer: Peer
    manifest: Manifest
    wanted: list[str]
    one_way: bool
    session_id: str
    look: Look
    commit_url: str = ""
    headers: Mapping[str, str] | None = None
    issued: Token | None = None


class Initiator:
    """Starts handshakes with peers. What comes out goes to the token book and the log."""

    def __init__(self, bootstrap: Bootstrap, shared: Shared, oidc: OidcTrust) -> None:
        self._bootstrap = bootstrap
        self._shared = shared
        self._oidc = oidc
        self._guard = EnvelopeGuard()

    async def initiate(
        self, agent_id: str, requested: list[str], *, one_way: bool, manifest_url: str | None = None
    ) -> dict[str, Any]:
        """Shake hands with a peer; ``requested`` empty asks for all its verified manifest offers.

        ``{"session_id", "peer_aid", "received", "missing", "issued"}``. ``missing``: what was asked for and not
        granted; an issuer may grant less (RFC-AITP-0004, section 4.1). ``issued`` is None when ``one_way``. Raises
        :class:`PeerFailed`, and ``revocation_unknown`` when the peer's list cannot be had; then nothing is left of the
        handshake, and a token that was already sent is revoked.
        """
        peer = self._shared.peers.named(agent_id)
        exchange: Exchange | None = None
        try:
            exchange = await self._introduce(peer, requested, one_way, manifest_url or peer.address)
            return await self._exchange(exchange)
        except BaseException as error:
            if exchange is not None:
                self._drop(exchange)
            self._shared.record.begin()
            if isinstance(error, Fault):
                self._report_failure(error, peer, exchange)
                await self._tell(error, exchange)
                await self._shared.record.save()
            raise

    async def _introduce(self, peer: Peer, requested: list[str], one_way: bool, manifest_url: str) -> Exchange:
        """Fetch and verify the peer's manifest; the SDK builds a hello for any."""
        manifest = await fetch_manifest(self._shared.client, peer, manifest_url)
        if code := manifest.unwilling(self._bootstrap.identity_type, self._bootstrap.signing_suite):
            raise PeerFailed(
                "protocol", f"no handshake would succeed: {SENTENCES[code]}", url=manifest_url, peer_code=code
            )
        self._oidc.require_for(manifest.identity_type)
        wanted = requested or list(manifest.offered)
        look = self._shared.issuer_lists.begin(peer, manifest.revocation_list)
        return Exchange(peer, manifest, wanted, one_way, str(uuid.uuid4()), look)

    async def _exchange(self, exchange: Exchange) -> dict[str, Any]:
        peer, agent = exchange.peer, self._shared.identity.agent()
        session = agent.new_session(pinned_keys=[peer.aid], **self._oidc.session_options())
        answer = await self._greet(exchange, session)
        exchange.headers = {SESSION_HEADER: exchange.session_id} if self._take_session_id(exchange, answer) else {}
        ack = self._open(answer, peer, "mutual_hello_ack")
        self._report("handshake.started", exchange, payload=self._about(exchange))
        self._shared.peers.require_still(peer)
        commit = self._commit(session, ack, exchange, answer.url)
        await self._shared.record.save()
        headers = {**exchange.headers, **to_pass_on()}
        answer = (await self._shared.client.post(exchange.commit_url, commit, headers)).expect_json(peer.aid)
        received = await self._complete(session, self._open(answer, peer, "mutual_commit_ack"), exchange, answer.url)
        self._shared.peers.require_still(peer)
        self._shared.keep(received, "held")
        missing = received.lacking(exchange.wanted)
        issued, exchange.issued = exchange.issued, None
        self._report_complete(exchange, received, issued, missing)
        return {
            "session_id": exchange.session_id,
            "peer_aid": peer.aid,
            "received": received.summary(),
            "missing": missing,
            "issued": None if exchange.one_way or issued is None else issued.summary(),
        }

    async def _greet(self, exchange: Exchange, session: aitp.InitiatorSession) -> Answer:
        """Send the hello to where the peer takes it, and note where it takes the commit."""
        manifest = exchange.manifest
        with protocol_errors(manifest.endpoint):
            hello = await self._oidc.present(
                session.build_hello, manifest.raw, exchange.wanted, audience=exchange.peer.aid
            )
        if exchange.one_way:
            hello = marked(hello, self._shared.identity.agent())
        hello_url, exchange.commit_url = manifest.exchange_urls()
        answer = await self._shared.client.post(hello_url, hello, to_pass_on())
        if answer.status in _NO_SUCH_ROUTE and hello_url != manifest.endpoint:
            # A last slash says that there is a route below; a peer that has none there means the URL as it stands.
            exchange.commit_url = manifest.endpoint
            answer = await self._shared.client.post(manifest.endpoint, hello, to_pass_on())
        return answer.expect_json(exchange.peer.aid)

    @staticmethod
    def _take_session_id(exchange: Exchange, answer: Answer) -> bool:
        """Use the peer's id for the session, if it has one, in what follows."""
        value = answer.headers.get(SESSION_HEADER, "")
        usable = 0 < len(value) <= _LONGEST_ID and value.isascii() and value.isprintable()
        if usable:
            exchange.session_id = value
        return usable

    def _open(self, answer: Answer, peer: Peer, kind: str) -> str:
        """The peer's message, once it is known to be the peer's and to be well formed."""
        raw = answer.text()
        try:
            envelope = read_envelope(raw)
            if not same_key(envelope.sender, peer.aid):
                raise Refusal("handshake_refused", "the answer is another agent's", registry="INVALID_ENVELOPE")
            self._guard.check(envelope, frozenset({kind, "error"}), peer.key)
            if envelope.kind == "error":
                raise _said_no(envelope, answer)
            if kind == "mutual_hello_ack":
                check_greeting(envelope.payload, envelope.sender, self._shared.identity.aid)
            else:
                check_commit(envelope.payload)
        except PeerFailed:
            raise
        except Fault as fault:
            raise PeerFailed("protocol", str(fault), url=answer.url, peer_code=fault.registry_code) from fault
        return raw

    def _commit(self, session: aitp.InitiatorSession, ack: str, exchange: Exchange, url: str) -> str:
        """The commit, and the note of the token in it: the SDK keeps no record of what it issued."""
        if exchange.one_way:
            ack = first_alone(ack, self._shared.identity.offered)
        with protocol_errors(url):
            commit = session.process_hello_ack(ack, exchange.session_id)
        payload = json.loads(commit)["payload"]
        exchange.issued = token_with(payload["tct"], payload["grant_voucher"], exchange.peer)
        self._shared.keep(exchange.issued, "issued")
        if exchange.one_way:
            self._shared.revocations.withhold(exchange.issued)
        exchange.manifest = exchange.manifest.or_newer(json.loads(ack)["payload"]["manifest"])
        return commit

    async def _complete(self, session: aitp.InitiatorSession, commit_ack: str, exchange: Exchange, url: str) -> Token:
        peer = exchange.peer
        tct = json.loads(commit_ack)["payload"]["tct"]
        claims = self._claims(tct, peer, url)
        await self._await_clock(claims, url)
        await exchange.look.settle()
        deny = self._shared.revocations.deny(str(claims.get("jti")), peer.aid)
        try:
            result = json.loads(session.complete(commit_ack, revoked_jtis=deny))
        except (RuntimeError, ValueError) as error:
            code = registered(sdk_code(error))
            if code is None or code == "TCT_SIGNATURE_INVALID":
                code = self._defect(tct, peer)
            raise PeerFailed("protocol", first_line(error), url=url, peer_code=code) from error
        token = token_with(result["tct"], result.get("grant_voucher"), peer)
        if not belongs(token, self._shared.identity.aid):
            raise PeerFailed("protocol", "the token or its voucher is not ours", url=url, peer_code="INVALID_ENVELOPE")
        if beyond := set(token.claims["grants"]) - set(exchange.manifest.offered):
            message = f"granted, but not offered by its newest manifest: {', '.join(sorted(beyond))}"
            raise PeerFailed("protocol", message, url=url, peer_code="GRANT_OVERFLOW")
        return token

    def _claims(self, tct: str, peer: Peer, url: str) -> dict[str, Any]:
        try:
            return decode_claims(tct)
        except ValueError as error:
            raise PeerFailed("protocol", first_line(error), url=url, peer_code=self._defect(tct, peer)) from error

    def _defect(self, tct: str, peer: Peer) -> str:
        """The SDK calls most that can be wrong with a token a bad signature."""
        identity = self._shared.identity
        return tct_defect(identity.agent(), tct, peer.aid, identity.aid)

    @staticmethod
    async def _await_clock(claims: dict[str, Any], url: str) -> None:
        try:
            await await_clock(claims)
        except Refusal as refusal:
            code, seconds = refusal.registry_code, refusal.details["seconds"]
            raise PeerFailed(
                "protocol", str(refusal), url=url, peer_code=code, retryable=True, reason=refusal.code, seconds=seconds
            ) from refusal

    def _drop(self, exchange: Exchange) -> None:
        """Take back what was issued in a handshake that failed: RFC-AITP-0004, section 6, keeps nothing of it."""
        if exchange.issued is not None:
            self._shared.drop(exchange.issued, "issued", "handshake_failed")

    async def _tell(self, fault: Fault, exchange: Exchange | None) -> None:
        """Let the peer know that the handshake failed here, if it may believe that it succeeded."""
        broken = isinstance(fault, Refusal) or (
            isinstance(fault, PeerFailed) and fault.failure in ("protocol", "not_json")
        )
        if exchange is None or exchange.issued is None or not broken:
            return
        code = fault.registry_code if isinstance(fault, Refusal) else registered(getattr(fault, "peer_code", None))
        code = code or "INVALID_ENVELOPE"
        payload = {"code": code, "reason": SENTENCES[code], "retryable": code in RETRYABLE}
        envelope = self._shared.identity.agent().sign_envelope("error", json.dumps(payload))
        try:
            await self._shared.client.post(
                exchange.commit_url, envelope, {**(exchange.headers or {}), **to_pass_on()}, timeout=TELLING_TIMEOUT
            )
        except Fault as unheard:
            sys.stderr.write(f"{exchange.peer.agent_id} was not told that its handshake failed: {unheard}\n")

    def _about(self, exchange: Exchange) -> dict[str, Any]:
        return {"boundary": self._bootstrap.boundary, "direction": "one" if exchange.one_way else "both"}

    def _report_complete(self, exchange: Exchange, received: Token, issued: Token | None, missing: list[str]) -> None:
        kept = [received, issued] if issued is not None and not exchange.one_way else [received]
        about = self._about(exchange) | ({"missing": missing} if missing else {})
        self._report(
            "handshake.complete",
            exchange,
            grants=received.summary()["grants"],
            payload={"tcts": [token.claims for token in kept], **about},
        )

    def _report(self, event_type: str, exchange: Exchange, **fields: Any) -> None:
        self._emit(event_type, exchange.peer, exchange.session_id, **fields)

    def _report_failure(self, fault: Fault, peer: Peer, exchange: Exchange | None) -> None:
        code = getattr(fault, "peer_code", None) or fault.details.get("class") or fault.code
        session_id = exchange.session_id if exchange is not None and exchange.commit_url else None
        payload = fault.told() if isinstance(fault, Refusal) else {"code": code, **fault.details}
        if known := registered(getattr(fault, "peer_code", None)):
            payload["registry_code"] = known
        self._emit("handshake.failed", peer, session_id, error=str(fault), payload=payload)

    def _emit(self, event_type: str, peer: Peer, session_id: str | None, **fields: Any) -> None:
        self._shared.telemetry.emit(
            event_type,
            initiator=self._bootstrap.agent_id,
            target=peer.agent_id,
            aid_a=self._shared.identity.aid,
            aid_b=peer.aid,
            session_id=session_id,
            **fields,
        )


def _said_no(envelope: Envelope, answer: Answer) -> PeerFailed:
    """A signed ``error`` under a good status: the standard names no status for it."""
    code, retryable = envelope.payload.get("code"), envelope.payload.get("retryable")
    return PeerFailed(
        "http_4xx",
        "the peer answered with an error" + (f" {code[:100]}" if isinstance(code, str) else ""),
        url=answer.url,
        status=answer.status,
        peer_code=code[:100] if isinstance(code, str) else None,
        retryable=retryable if isinstance(retryable, bool) else None,
    )
