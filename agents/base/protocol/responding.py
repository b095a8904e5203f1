"""The responder's side of the mutual handshake: RFC-AITP-0004, sections 3 to 6."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from base.process.bootstrap import Bootstrap
from base.protocol.budgets import STRANGERS
from base.protocol.diagnosis import tct_defect
from base.protocol.envelopes import Door, Envelope, disclosing, read_envelope
from base.protocol.manifests import presented_by, revocation_list_of
from base.protocol.oidc import OidcTrust
from base.protocol.one_way import is_marked
from base.protocol.peers import Peer
from base.protocol.presented import check_commit, check_greeting
from base.protocol.received import await_clock, belongs, token_with
from base.protocol.sessions import Done, Pending, SessionMap
from base.protocol.shared import Shared
from base.protocol.tokens import decode_claims
from base.refusals import Flooded, Refusal, first_line, malformed, sdk_code
from base.registry_codes import RefusalCode, registered

_SDK_REFUSALS: dict[str, RefusalCode] = {
    "TCT_EXPIRED": "tct_expired",
    "TCT_REVOKED": "tct_revoked",
    "TCT_SIGNATURE_INVALID": "tct_invalid",
    "POP_VERIFICATION_FAILED": "pop_invalid",
}
_KINDS = frozenset({"mutual_hello", "mutual_commit", "error"})


class Responder:
    """Answers handshakes, wherever a message of one was posted. What comes out goes to the token book and the log."""

    def __init__(self, bootstrap: Bootstrap, shared: Shared, oidc: OidcTrust) -> None:
        self._bootstrap = bootstrap
        self._shared = shared
        self._oidc = oidc
        self._door = Door(shared.peers)
        self._sessions = SessionMap()

    def forget(self) -> None:
        """Drop the handshakes that are open: the key has changed."""
        self._sessions = SessionMap()

    async def answer(self, raw: str, session_id: str | None) -> tuple[str, str]:
        """The answer to a message of a handshake, and the session it belongs to; an ``error`` is answered ``{}``.

        ``session_id`` is what came along with it, in the HTTP binding. Raises :class:`Refusal`, which the log has then,
        :class:`Flooded`, or 400.
        """
        envelope = read_envelope(raw)
        with self._refusals_reported(envelope, session_id):
            if envelope.kind == "error" and not self._sessions.knows(envelope.key, session_id):
                # An agent signs an error to anybody who posts nonsense, and it names neither addressee nor handshake:
                # without the id of one it may be passed on by anybody.
                self._door.turn_away(envelope)
                raise Refusal("handshake_refused", "an error counts under the id of its sender's handshake alone")
            expected = envelope.kind != "mutual_hello" and self._sessions.expects(envelope.key)
            self._door.let_in(envelope, _KINDS, expected=expected)
            with disclosing(self._shared.peers.introduced, envelope.key):
                if envelope.kind == "mutual_hello":
                    return await self._answer_hello(envelope)
                peer = self._shared.peers.greeter(envelope.sender)
                if envelope.kind == "mutual_commit":
                    return await self._answer_commit(envelope, peer, session_id)
                return await self._take_back(peer, str(session_id))

    async def _answer_hello(self, envelope: Envelope) -> tuple[str, str]:
        known = self._known(envelope)
        self._shared.revocations.require_room_for(envelope.key)
        check_greeting(envelope.payload, envelope.sender, self._shared.identity.aid)
        identity_type = str(envelope.payload["identity"]["type"])
        self._oidc.require_for(identity_type)
        peer = known if known is not None and known.manifest_url else presented_by(envelope)
        responder = self._shared.identity.agent().new_responder(pinned_keys=[peer.aid], **self._oidc.session_options())
        with _refusals_from_sdk():
            ack, session_id = await self._oidc.present(responder.process_hello, envelope.raw, audience=peer.aid)
        if self._shared.peers.admit(peer):
            self._warn_of(peer)
        nonce = json.loads(ack)["payload"]["pop_nonce"]
        look = self._shared.issuer_lists.begin(peer, revocation_list_of(envelope.payload["manifest"]))
        pending = Pending(session_id, nonce, responder, peer, look, is_marked(envelope.message), identity_type)
        self._sessions.open(pending, introduced=self._shared.peers.introduced(peer.aid))
        return ack, session_id

    async def _answer_commit(self, envelope: Envelope, peer: Peer, session_id: str | None) -> tuple[str, str]:
        """What the initiator issued is kept, unless it said that it is of no use."""
        sessions = self._sessions
        pending = sessions.take(peer.key, session_id, envelope.payload.get("pop_nonce_echo"))
        payload = check_commit(envelope.payload)
        claims = _claims(payload["tct"])
        await await_clock(claims)
        await pending.look.settle()
        self._shared.peers.greeter(envelope.sender)  # it may have been taken off the list while this waited
        if sessions is not self._sessions:
            raise Refusal("handshake_refused", "this agent has another key now; start again")
        try:
            with _refusals_from_sdk():
                deny = self._shared.revocations.deny(str(claims.get("jti")), peer.aid)
                commit_ack, result = pending.responder.process_commit(envelope.raw, revoked_jtis=deny)
        except Refusal as refusal:
            raise self._explain(refusal, payload["tct"], peer) from refusal
        given, answered = json.loads(result), json.loads(commit_ack)["payload"]
        received = token_with(given["tct"], given.get("grant_voucher"), peer)
        if not belongs(received, self._shared.identity.aid):
            raise Refusal("handshake_refused", "the token or its voucher is not ours", sdk_code="token_mismatch")
        issued = token_with(answered["tct"], answered["grant_voucher"], peer)
        introduced = self._shared.peers.introduced(peer.aid)
        # What a guest gave is of no use: this agent goes nowhere that a guest named.
        held = received if introduced and not pending.one_way else None
        if held is not None:
            self._shared.keep(held, "held")
        self._shared.keep(issued, "issued", None if introduced else STRANGERS)
        done = Done(pending.session_id, peer, issued, held)
        self._sessions.close(done, introduced=introduced)
        self._report_answered(done, pending)
        return commit_ack, pending.session_id

    async def _take_back(self, peer: Peer, session_id: str) -> tuple[str, str]:
        """The initiator says that a handshake has failed, which may have ended well here: nothing of it is kept."""
        done = self._sessions.undo(peer.key, session_id)
        if done is not None:
            self._shared.drop(done.issued, "issued", "peer_failed_it")
            if done.held is not None:
                self._shared.drop(done.held, "held", "peer_failed_it")
            await self._shared.record.save()
        return "{}", session_id

    def _explain(self, refusal: Refusal, tct: str, peer: Peer) -> Refusal:
        """The SDK calls most that can be wrong with a token a bad signature."""
        if refusal.details.get("sdk_code") not in ("TCT_SIGNATURE_INVALID", "MALFORMED"):
            return refusal
        identity = self._shared.identity
        code = tct_defect(identity.agent(), tct, peer.aid, identity.aid)
        return Refusal("tct_invalid", str(refusal), registry=code, **refusal.details)

    def _known(self, envelope: Envelope) -> Peer | None:
        """Whoever was introduced; None for a stranger, where strangers are welcome: it is known by what it presents."""
        peers = self._shared.peers
        if peers.open_to_verified and not peers.introduced(envelope.sender):
            return None
        return peers.sender(envelope.sender)

    @contextmanager
    def _refusals_reported(self, envelope: Envelope, session_id: str | None) -> Iterator[None]:
        try:
            yield
        except (Refusal, Flooded) as refusal:
            told = refusal.told() if isinstance(refusal, Refusal) else {"code": refusal.code}
            self._shared.telemetry.emit_refusal(
                "handshake.failed",
                initiator=self._shared.peers.agent_id_of(envelope.sender),
                target=self._bootstrap.agent_id,
                aid_a=envelope.sender[:100],
                aid_b=self._shared.identity.aid,
                session_id=session_id and session_id[:64],
                error=str(refusal),
                payload={**told, "refused_by": "responder"},
            )
            raise

    def _report_answered(self, done: Done, pending: Pending) -> None:
        """What this side issued and kept; whether the other takes it, its own report says."""
        kept = [done.issued] if done.held is None else [done.issued, done.held]
        self._shared.telemetry.emit(
            "handshake.answered",
            initiator=self._shared.peers.agent_id_of(done.peer.aid),
            target=self._bootstrap.agent_id,
            aid_a=done.peer.aid,
            aid_b=self._shared.identity.aid,
            session_id=done.session_id,
            jti=done.issued.jti,
            grants=list(done.issued.claims["grants"]),
            payload={
                "tcts": [token.claims for token in kept],
                "boundary": self._bootstrap.boundary,
                "direction": "one" if pending.one_way else "both",
                "identity_type": pending.identity_type,
            },
        )

    def _warn_of(self, stranger: Peer) -> None:
        """RFC-AITP-0002, section 3.2: who takes any key says so, of each one that it takes."""
        self._shared.telemetry.emit_refusal(
            "stranger.accepted",
            aid=stranger.aid[:100],
            target=self._bootstrap.agent_id,
            payload={"accept": self._bootstrap.accept},
        )


def _claims(tct: str) -> dict[str, Any]:
    try:
        return decode_claims(tct)
    except ValueError:
        raise Refusal("tct_invalid", "what the commit gives is no token") from None


@contextmanager
def _refusals_from_sdk() -> Iterator[None]:
    """What the SDK says of a peer's message becomes a refusal, or 400 for what is no handshake message at all."""
    try:
        yield
    except RuntimeError as error:
        code = sdk_code(error)
        refusal = _SDK_REFUSALS.get(code, "handshake_refused")
        raise Refusal(refusal, first_line(error), sdk_code=code, registry=registered(code)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise malformed("not a handshake message") from error
