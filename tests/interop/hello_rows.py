"""Hellos out of the ordinary: envelope, manifest, identity (RFC-AITP-0001 to 0004)."""

from __future__ import annotations

import struct
import uuid
from typing import Any

from aitp_verifier.crypto import P256_N

from tests.interop.foreign import envelopes, manifests
from tests.interop.foreign.agent import ForeignAgent
from tests.interop.foreign.envelopes import Envelope, decode, encode
from tests.interop.foreign.handshake import identity
from tests.interop.foreign.keys import Key
from tests.interop.foreign.oidc import Issuer
from tests.interop.rows import Change, Row, in_payload, member, row

OTHER = Key()
ISSUER = Issuer()
OIDC = {"type": "oidc", "issuer": ISSUER.url}


def at(seconds: int) -> Change:
    def change(agent: ForeignAgent, envelope: Envelope) -> None:
        envelope["timestamp"] = agent.now() + seconds

    return change


def sender(aid: str) -> Change:
    return member(sender={"agent_id": aid})


def manifest(**members: Any) -> Change:
    """Another manifest of its own, properly signed; None leaves a member out."""

    def change(agent: ForeignAgent, envelope: Envelope) -> None:
        envelope["payload"]["manifest"] = agent.manifest(**members)

    return change


def hint(**members: Any) -> Change:
    def change(agent: ForeignAgent, envelope: Envelope) -> None:
        given = agent.manifest()["identity_hint"] | members
        given = {name: value for name, value in given.items() if value is not None}
        envelope["payload"]["manifest"] = agent.manifest(identity_hint=given)

    return change


def another_challenge(agent: ForeignAgent, envelope: Envelope) -> None:
    proof = agent.manifest()["proof_of_possession"] | {"signature": agent.key.sign(b"\0" * 16)}
    envelope["payload"]["manifest"] = agent.manifest(proof_of_possession=proof)


def tampered_manifest(agent: ForeignAgent, envelope: Envelope) -> None:
    envelope["payload"]["manifest"] = agent.manifest() | {"display_name": "Somebody"}


def expired_manifest(agent: ForeignAgent, envelope: Envelope) -> None:
    now = agent.now()
    envelope["payload"]["manifest"] = agent.manifest(published_at=now - 7200, expires_at=now - 1)


def manifest_of_another(agent: ForeignAgent, envelope: Envelope) -> None:
    body = manifests.unsigned(OTHER, "Other", agent.endpoint, agent.offered, agent.now())
    envelope["payload"]["manifest"] = manifests.signed(OTHER, body)


def bound(**members: Any) -> Change:
    """The identity's proof made for other circumstances."""

    def change(agent: ForeignAgent, envelope: Envelope) -> None:
        envelope["payload"]["identity"] = identity(agent, envelope, receiver_of(agent), **members)

    return change


def described(**members: Any) -> Change:
    """The identity descriptor with other members, its proof as it should be; None leaves one out."""

    def change(agent: ForeignAgent, envelope: Envelope) -> None:
        given = identity(agent, envelope, receiver_of(agent)) | members
        envelope["payload"]["identity"] = {name: value for name, value in given.items() if value is not None}

    return change


def proof_over(make: Any) -> Change:
    def change(agent: ForeignAgent, envelope: Envelope) -> None:
        given = identity(agent, envelope, receiver_of(agent))
        envelope["payload"]["identity"] = given | {"proof": agent.key.sign(make(agent, envelope))}

    return change


def receiver_of(agent: ForeignAgent) -> str:
    """Whom the agent talks to, as the tests have it: the one that it trusts."""
    [aid] = agent.trusted
    return aid


def id_and_time(_agent: ForeignAgent, envelope: Envelope) -> bytes:
    return f"{envelope['message_id']}|{envelope['timestamp']}".encode()


def binary_time(agent: ForeignAgent, envelope: Envelope) -> bytes:
    parts = [agent.aid, receiver_of(agent), envelope["message_id"]]
    text = b"aitp-pinned-key-v1\0" + b"".join(part.encode() + b"\0" for part in parts)
    return text + struct.pack(">Q", envelope["timestamp"]) + b"\0" + decode(envelope["payload"]["pop_nonce"])


def without_nonce(agent: ForeignAgent, envelope: Envelope) -> None:
    described()(agent, envelope)
    del envelope["payload"]["pop_nonce"]


def list_for_nonce(agent: ForeignAgent, envelope: Envelope) -> None:
    described()(agent, envelope)
    envelope["payload"]["pop_nonce"] = []


def named_sender(_agent: ForeignAgent, envelope: Envelope) -> None:
    envelope["sender"]["name"] = "Foreigner"


def oidc_all_through(agent: ForeignAgent, envelope: Envelope) -> None:
    envelope["payload"]["manifest"] = agent.manifest(identity_hint=ISSUER.hint(agent))
    token = ISSUER.token(ISSUER.claims(agent, envelope, receiver_of(agent)))
    envelope["payload"]["identity"] = ISSUER.descriptor(agent, token)


def as_the_receiver(agent: ForeignAgent, envelope: Envelope) -> None:
    envelope["sender"]["agent_id"] = receiver_of(agent)


def by_another_key(_agent: ForeignAgent, envelope: Envelope) -> None:
    body = {name: value for name, value in envelope.items() if name != "signature"}
    envelope["signature"] = envelopes.signed(OTHER, body)["signature"]


def signature(make: Any) -> Change:
    def change(_agent: ForeignAgent, envelope: Envelope) -> None:
        envelope["signature"] = make(envelope["signature"])

    return change


def high_s(tagged: str) -> str:
    raw = decode(tagged.removeprefix("p256."))
    s = P256_N - int.from_bytes(raw[32:], "big")
    return f"p256.{encode(raw[:32] + s.to_bytes(32, 'big'))}"


_KEY = "A" * 43
_STRUCTURE = ("INVALID_ENVELOPE",)
_LATE = ("0001 5.4", "what is signed cannot be changed on the way")
_ID = ("0001 5.2", "a message id is a version 4 UUID in lower case")
_SHAPE = ("0001 5.2", "an envelope has these members and these types")
_VERSION = ("0001 7", "an unknown version is refused before anything else in an envelope")
_FIELD = ("0001 7", "an unknown member outside extensions is refused")
_AID = ("0001 5.3", "an AID has exactly one key of a known suite in it")
_TIME = ("0001 5.5", "a message is at most 300 s old, or ahead")
_MANIFEST = ("0003 5", "a manifest is verified before it counts")
_IDENTITY = ("0002 3.1", "a pinned key is proven for one message to one receiver")
_HINT = ("0004 5.1", "identity, hint and AID name the same key")
_PAYLOAD = ("0004 3.1", "a hello has these members and these types")
_SIGNATURE = ("0001 5.4.3", "a signature is 64 bytes under the algorithm of the AID")
_EXTENSIONS = ("0012 5", "unknown extensions are ignored")
_BAD_SIGNATURE = ("INVALID_ENVELOPE", "INVALID_SIGNATURE")

ENVELOPES: list[Row] = [
    row("too old", *_TIME, "TIMESTAMP_EXPIRED", signed=at(-310)),
    row("too far ahead", *_TIME, "TIMESTAMP_EXPIRED", signed=at(400)),
    row("no version", *_VERSION, "UNKNOWN_VERSION", signed=member(version=None)),
    row("the previous version", *_VERSION, "UNKNOWN_VERSION", signed=member(version="aitp/0.2")),
    row("a version to come, and more", *_VERSION, "UNKNOWN_VERSION", signed=member(version="aitp/9.9", trace_id="x")),
    row("an unknown member", *_FIELD, "UNKNOWN_FIELD", signed=member(trace_id="x")),
    row("an unknown member of the sender", *_FIELD, "UNKNOWN_FIELD", signed=named_sender),
    row("an id in upper case", *_ID, *_STRUCTURE, signed=member(message_id=str(uuid.uuid4()).upper())),
    row("an id of version 1", *_ID, *_STRUCTURE, signed=member(message_id=str(uuid.uuid1()))),
    row("an id that is no UUID", *_ID, *_STRUCTURE, signed=member(message_id="one")),
    row("no id", *_SHAPE, *_STRUCTURE, late=member(message_id=None)),
    row("no type", *_SHAPE, *_STRUCTURE, late=member(message_type=None)),
    row("no time", *_SHAPE, *_STRUCTURE, late=member(timestamp=None)),
    row("no sender", *_SHAPE, *_STRUCTURE, late=member(sender=None)),
    row("no payload", *_SHAPE, *_STRUCTURE, late=member(payload=None)),
    row("no signature", *_SHAPE, *_STRUCTURE, late=member(signature=None)),
    row("a time in words", *_SHAPE, *_STRUCTURE, late=member(timestamp="now")),
    row("a time with a fraction", *_SHAPE, *_STRUCTURE, late=member(timestamp=1.5)),
    row("a time before all times", *_SHAPE, *_STRUCTURE, "TIMESTAMP_EXPIRED", late=member(timestamp=-1)),
    row("a time beyond all numbers", *_SHAPE, *_STRUCTURE, "TIMESTAMP_EXPIRED", late=member(timestamp=10**400)),
    row("true for a time", *_SHAPE, *_STRUCTURE, late=member(timestamp=True)),
    row("a list for a payload", *_SHAPE, *_STRUCTURE, late=member(payload=[])),
    row("a text for a sender", *_SHAPE, *_STRUCTURE, late=member(sender="me")),
    row("a list for an id", *_SHAPE, *_STRUCTURE, late=member(message_id=["a"])),
    row("another type", *_SHAPE, *_STRUCTURE, signed=member(message_type="capability_invocation")),
    row("an acknowledgement", *_SHAPE, *_STRUCTURE, signed=member(message_type="mutual_hello_ack")),
    row("a challenge", *_SHAPE, *_STRUCTURE, signed=member(message_type="pop_challenge")),
    row("grants added", *_LATE, "INVALID_SIGNATURE", late=in_payload(requested_grants=["demo.who"])),
    row("extensions added", *_LATE, "INVALID_SIGNATURE", late=member(extensions={"com.example.x": 1})),
    row("a later time", *_LATE, "INVALID_SIGNATURE", late=at(5)),
    row("another key's signature", *_LATE, "INVALID_SIGNATURE", late=by_another_key),
    row("a padded signature", *_SIGNATURE, *_BAD_SIGNATURE, late=signature(lambda text: text + "==")),
    row("a short signature", *_SIGNATURE, *_BAD_SIGNATURE, late=signature(lambda text: text[:-1])),
    row("an unknown tag", *_SIGNATURE, *_BAD_SIGNATURE, late=signature(lambda text: f"rsa.{text}")),
    row("another suite's tag", *_SIGNATURE, "INVALID_SIGNATURE", late=signature(lambda text: f"p256.{text}")),
    row(
        "a P-256 signature untagged",
        *_SIGNATURE,
        "INVALID_SIGNATURE",
        late=signature(lambda text: text.removeprefix("p256.")),
        suite="p256",
    ),
    row("a P-256 signature with a high S", *_SIGNATURE, "INVALID_SIGNATURE", late=signature(high_s), suite="p256"),
    row("an AID too short", *_AID, *_STRUCTURE, signed=sender(f"aid:pubkey:{_KEY[:-1]}")),
    row("an AID too long", *_AID, *_STRUCTURE, signed=sender(f"aid:pubkey:{_KEY}A")),
    row("an AID of an unknown suite", *_AID, *_STRUCTURE, signed=sender(f"aid:pubkey:rsa:{_KEY}")),
    row("a padded AID", *_AID, *_STRUCTURE, signed=sender(f"aid:pubkey:{_KEY[:-1]}=")),
    row("an AID of another method", *_AID, *_STRUCTURE, signed=sender("aid:web:example.com")),
    row("a list for an AID", *_AID, *_STRUCTURE, signed=member(sender={"agent_id": ["a"]})),
    row("the receiver's own AID", *_AID, "INVALID_SIGNATURE", signed=as_the_receiver),
]

GREETINGS: list[Row] = [
    row("no manifest", *_PAYLOAD, *_STRUCTURE, signed=in_payload(manifest=None)),
    row("no nonce", *_PAYLOAD, *_STRUCTURE, signed=without_nonce),
    row("a nonce too short", *_PAYLOAD, *_STRUCTURE, "IDENTITY_FAILED", signed=in_payload(pop_nonce="AAAA")),
    row("no grants", *_PAYLOAD, *_STRUCTURE, signed=in_payload(requested_grants=None)),
    row("a text for grants", *_PAYLOAD, *_STRUCTURE, signed=in_payload(requested_grants="demo.echo")),
    row("numbers for grants", *_PAYLOAD, *_STRUCTURE, signed=in_payload(requested_grants=[1])),
    row("a space in a grant", *_PAYLOAD, *_STRUCTURE, signed=in_payload(requested_grants=["demo. echo"])),
    row("an unknown member of the payload", *_FIELD, "UNKNOWN_FIELD", signed=in_payload(vendor=1)),
    row("a list for a manifest", *_MANIFEST, "MANIFEST_INVALID", *_STRUCTURE, signed=in_payload(manifest=[])),
    row("another agent's manifest", *_MANIFEST, *_STRUCTURE, signed=manifest_of_another),
    row("a manifest tampered with", *_MANIFEST, "MANIFEST_SIGNATURE_INVALID", signed=tampered_manifest),
    row("another challenge's proof in the manifest", *_MANIFEST, "MANIFEST_POP_FAILED", signed=another_challenge),
    row("a manifest that has expired", *_MANIFEST, "MANIFEST_EXPIRED", signed=expired_manifest),
    row("a manifest of a version to come", *_MANIFEST, "MANIFEST_VERSION_UNKNOWN", signed=manifest(version="aitp/9.9")),
    row("an unknown member of the manifest", *_FIELD, "UNKNOWN_FIELD", signed=manifest(region="eu")),
    row("a manifest without an endpoint", *_MANIFEST, "MANIFEST_INVALID", signed=manifest(handshake_endpoint=None)),
    row("half an endpoint", *_MANIFEST, "MANIFEST_INVALID", signed=manifest(handshake_endpoint="/talk")),
    row("a name of 200 characters", *_MANIFEST, "MANIFEST_INVALID", signed=manifest(display_name="x" * 200)),
    row("a number for capabilities", *_MANIFEST, "MANIFEST_INVALID", signed=manifest(offered_capabilities=7)),
    row("an OIDC hint with a key", *_MANIFEST, "MANIFEST_INVALID", signed=hint(**OIDC)),
    row("a proof for another receiver", *_IDENTITY, "IDENTITY_FAILED", signed=bound(receiver=OTHER.aid)),
    row("a proof for another message", *_IDENTITY, "IDENTITY_FAILED", signed=bound(message_id=str(uuid.uuid4()))),
    row("a proof for another time", *_IDENTITY, "IDENTITY_FAILED", signed=bound(timestamp=1)),
    row("a proof of another nonce", *_IDENTITY, "IDENTITY_FAILED", signed=bound(nonce=encode(b"\0" * 16))),
    row("a proof over id and time only", *_IDENTITY, "IDENTITY_FAILED", signed=proof_over(id_and_time)),
    row("a proof with the time in eight bytes", *_IDENTITY, "IDENTITY_FAILED", signed=proof_over(binary_time)),
    row("no proof", *_IDENTITY, "IDENTITY_FAILED", *_STRUCTURE, signed=described(proof=None)),
    row("another key in the identity", *_HINT, "IDENTITY_FAILED", signed=described(public_key=OTHER.public)),
    row("another key in the hint", *_HINT, "IDENTITY_FAILED", signed=hint(public_key=OTHER.public)),
    row("another subject in the identity", *_HINT, "IDENTITY_FAILED", signed=described(subject="Somebody")),
    row(
        "another type in the hint",
        *_HINT,
        "IDENTITY_FAILED",
        signed=hint(**OIDC, public_key=None),
    ),
    row("an identity of type did", *_HINT, "IDENTITY_FAILED", signed=described(type="did")),
    row("an identity of type x509", *_HINT, "IDENTITY_FAILED", signed=described(type="x509")),
    row("an identity of type wallet", *_HINT, "IDENTITY_FAILED", signed=described(type="wallet")),
    row("a list for a type of identity", *_HINT, "IDENTITY_FAILED", *_STRUCTURE, signed=described(type=[])),
    row("an object for a subject", *_HINT, "IDENTITY_FAILED", *_STRUCTURE, signed=described(subject={})),
    row("a list for a public key", *_HINT, "IDENTITY_FAILED", *_STRUCTURE, signed=described(public_key=[])),
    row("a list for a proof", *_IDENTITY, "IDENTITY_FAILED", *_STRUCTURE, signed=described(proof=[])),
    row("an unknown member of the identity", *_FIELD, "UNKNOWN_FIELD", signed=described(more=1)),
    row("a list for a type of hint", *_MANIFEST, "MANIFEST_INVALID", signed=hint(type=[])),
    row("a list for a manifest's AID", *_MANIFEST, "MANIFEST_INVALID", *_STRUCTURE, signed=manifest(aid=[])),
    row("a list for a version", *_VERSION, "UNKNOWN_VERSION", *_STRUCTURE, signed=member(version=[])),
    row("lists for grants", *_PAYLOAD, *_STRUCTURE, signed=in_payload(requested_grants=[[]])),
    row("a list for a nonce", *_PAYLOAD, *_STRUCTURE, signed=list_for_nonce),
    row("a list for an identity", *_HINT, "IDENTITY_FAILED", *_STRUCTURE, signed=in_payload(identity=[])),
    row(
        "an identity that is not accepted",
        "0004 5.1",
        "the type of identity, and its issuer, are among those that the receiver publishes",
        "INCOMPATIBLE_IDENTITY_TYPE",
        "INCOMPATIBLE_TRUST_ANCHORS",
        signed=oidc_all_through,
    ),
]

ACCEPTED: list[Row] = [
    row("nothing special", "0004 3.1", "a hello is acknowledged"),
    row("nothing special, P-256", "0004 3.1", "a hello is acknowledged", suite="p256"),
    row("almost too old", *_TIME, signed=at(-240)),
    row("somewhat ahead", *_TIME, signed=at(240)),
    row("extensions", *_EXTENSIONS, signed=member(extensions={"com.example.x": {"y": 1}})),
    row(
        "extensions of the payload",
        *_EXTENSIONS,
        signed=in_payload(extensions={"com.example.x": 1}),
    ),
    row(
        "extensions of the manifest",
        *_EXTENSIONS,
        signed=manifest(extensions={"com.example.x": 1}),
    ),
    row("a signature with its suite", *_SIGNATURE, late=signature(lambda text: f"ed25519.{text}")),
    row("no extensions", "0001 5.4.1", "absent and empty are not the same", signed=manifest(extensions=None)),
    row("empty extensions", "0001 5.4.1", "absent and empty are not the same", signed=manifest(extensions={})),
    row(
        "an endpoint in another notation",
        "0001 5.4.1",
        "a URL is signed as it is written",
        signed=manifest(handshake_endpoint="http://LOCALHOST:1/%7etalk"),
    ),
    row("a name of 128 characters", *_MANIFEST, signed=manifest(display_name="x" * 128)),
]
