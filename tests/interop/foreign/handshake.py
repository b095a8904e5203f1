"""The four messages of the mutual handshake, without a transport (RFC-AITP-0004)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aitp_verifier.errors import AitpError
from aitp_verifier.handshake import verify_handshake_payload
from aitp_verifier.identity import pinned_key_proof_input
from aitp_verifier.tct import outlives_manifest
from aitp_verifier.voucher import verify_grant_voucher

from tests.interop.foreign import envelopes
from tests.interop.foreign.envelopes import Alter, Envelope, decode, encode, opened
from tests.interop.foreign.manifests import Manifest
from tests.interop.foreign.tokens import Grant, claims_of

if TYPE_CHECKING:
    from tests.interop.foreign.agent import ForeignAgent


def identity(agent: ForeignAgent, envelope: Envelope, to: str, **changes: Any) -> dict[str, Any]:
    """A pinned-key descriptor, proven for one message to one receiver (0002 3.1)."""
    bound = {
        "sender": agent.aid,
        "receiver": to,
        "message_id": envelope["message_id"],
        "timestamp": envelope["timestamp"],
        "nonce": envelope["payload"]["pop_nonce"],
    } | changes
    proof = pinned_key_proof_input(*bound.values())
    return {
        "type": "pinned_key",
        "subject": agent.name,
        "public_key": agent.key.public,
        "proof": agent.key.sign(proof),
    }


def _greeting(agent: ForeignAgent, kind: str, receiver: str, payload: dict[str, Any], alter: Alter | None) -> Envelope:
    """A hello or its acknowledgement. What ``alter`` changes of id, time or nonce is covered by the proof, unless it
    puts an identity there itself."""
    envelope = envelopes.draft(agent.key, kind, {"manifest": agent.manifest(), **payload}, agent.now())
    if alter is not None:
        alter(envelope)
    if "identity" not in envelope["payload"]:
        envelope["payload"]["identity"] = identity(agent, envelope, receiver)
    return envelopes.signed(agent.key, envelope)


def _commit(agent: ForeignAgent, kind: str, nonce: str, grant: Grant, alter: Alter | None) -> Envelope:
    """A commit or its acknowledgement (3.3, 3.4): a token, perhaps its voucher, and the proof over their nonce."""
    payload = {"tct": grant.tct, "pop_signature": agent.key.sign(decode(nonce)), "pop_nonce_echo": nonce}
    if grant.voucher is not None:
        payload["grant_voucher"] = grant.voucher
    return envelopes.message(agent.key, kind, payload, agent.now(), alter)


def check_greeting(agent: ForeignAgent, envelope: Any, kind: str, peer: str, **also: Any) -> dict[str, Any]:
    """The steps of 5.1 and 5.2. Raises ``AitpError``."""
    payload = opened(envelope, peer, kind, agent.now())
    asked = {"envelope": envelope, "self_aid": agent.aid, "trust_store": [peer], **also}
    verify_handshake_payload(asked | {"self_accepted_identity_types": ["pinned_key"]}, agent.now())
    return payload


def check_commit(agent: ForeignAgent, envelope: Any, kind: str, peer: Manifest, nonce: str) -> Grant:
    """The steps of 5.3 and 5.4. Raises ``AitpError``."""
    payload = opened(envelope, peer["aid"], kind, agent.now())
    if payload.get("pop_nonce_echo") != nonce:
        raise AitpError("NONCE_MISMATCH", "the echo is of another nonce")
    verify_handshake_payload(
        {
            "envelope": envelope,
            "self_aid": agent.aid,
            "self_pop_nonce": nonce,
            "issuer_offered_capabilities": peer["offered_capabilities"],
        },
        agent.now(),
    )
    claims, voucher = claims_of(payload["tct"]), payload.get("grant_voucher")
    if claims["iss"] != peer["aid"]:
        raise AitpError("TCT_SIGNATURE_INVALID", "issued by somebody else")
    if outlives_manifest(claims, peer):
        raise AitpError("TCT_EXPIRES_AFTER_MANIFEST", "it outlives its issuer's manifest")
    if voucher is not None:
        verify_grant_voucher({"voucher_token": voucher}, agent.now())
    return Grant(payload["tct"], voucher)


@dataclass
class Initiator:
    """One handshake from the side that begins it."""

    agent: ForeignAgent
    peer: Manifest
    requested: Sequence[str]
    nonce: str = field(default_factory=lambda: encode(secrets.token_bytes(16)))
    theirs: dict[str, Any] = field(default_factory=dict)
    issued: Grant | None = None

    def hello(self, alter: Alter | None = None) -> Envelope:
        payload = {"requested_grants": list(self.requested), "pop_nonce": self.nonce}
        return _greeting(self.agent, "mutual_hello", self.peer["aid"], payload, alter)

    def take_ack(self, envelope: Any) -> None:
        self.theirs = check_greeting(
            self.agent, envelope, "mutual_hello_ack", self.peer["aid"], sent_pop_nonce=self.nonce
        )

    def commit(self, alter: Alter | None = None, grant: Grant | None = None) -> Envelope:
        """The commit, with the token that the agent's policy gives or another one."""
        self.issued = grant or self.agent.give(self.peer["aid"], self.theirs["requested_grants"])
        return _commit(self.agent, "mutual_commit", self.theirs["pop_nonce"], self.issued, alter)

    def take_commit_ack(self, envelope: Any) -> Grant:
        received = check_commit(self.agent, envelope, "mutual_commit_ack", self.theirs["manifest"], self.nonce)
        self.agent.held[self.peer["aid"]] = received
        return received


@dataclass
class Responder:
    """One handshake from the side that is asked."""

    agent: ForeignAgent
    hello: Envelope
    nonce: str = field(default_factory=lambda: encode(secrets.token_bytes(16)))
    issued: Grant | None = None

    @property
    def peer(self) -> str:
        return str(self.hello["sender"]["agent_id"])

    @property
    def manifest(self) -> Manifest:
        manifest: Manifest = self.hello["payload"]["manifest"]
        return manifest

    def ack(self, alter: Alter | None = None) -> Envelope:
        payload = {
            "requested_grants": self.agent.wanted(self.manifest),
            "pop_nonce": self.nonce,
            "pop_nonce_echo": self.hello["payload"]["pop_nonce"],
        }
        return _greeting(self.agent, "mutual_hello_ack", self.peer, payload, alter)

    def take_commit(self, envelope: Any) -> Grant:
        received = check_commit(self.agent, envelope, "mutual_commit", self.manifest, self.nonce)
        self.agent.held[self.peer] = received
        return received

    def commit_ack(self, alter: Alter | None = None, grant: Grant | None = None) -> Envelope:
        self.issued = grant or self.agent.give(self.peer, self.hello["payload"]["requested_grants"])
        return _commit(self.agent, "mutual_commit_ack", self.hello["payload"]["pop_nonce"], self.issued, alter)
