"""Commits out of the ordinary: proof, token, voucher (RFC-AITP-0004 5.3, 0005)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from tests.interop.foreign import tokens
from tests.interop.foreign.agent import ForeignAgent
from tests.interop.foreign.envelopes import Envelope, encode
from tests.interop.foreign.keys import Key
from tests.interop.rows import Change, Row, in_payload, row

OTHER = Key()


def token(make: Callable[[ForeignAgent, dict[str, Any]], str]) -> Change:
    """Another token in place of the one that is there, of whose claims it is made."""

    def change(agent: ForeignAgent, envelope: Envelope) -> None:
        envelope["payload"]["tct"] = make(agent, tokens.claims_of(envelope["payload"]["tct"]))
        envelope["payload"].pop("grant_voucher", None)

    return change


def claims(**members: Any) -> Change:
    """The same token with other claims, signed; None leaves one out."""

    def make(agent: ForeignAgent, given: dict[str, Any]) -> str:
        changed = {name: value for name, value in (given | members).items() if value is not None}
        return agent.key.token(tokens.TCT, changed)

    return token(make)


def ends(seconds: int) -> Change:
    return token(lambda agent, given: agent.key.token(tokens.TCT, given | {"exp": agent.now() + seconds}))


def outliving(agent: ForeignAgent, envelope: Envelope) -> None:
    claims(exp=agent.manifest()["expires_at"] + 1)(agent, envelope)


def of_kind(kind: str) -> Change:
    return token(lambda agent, given: agent.key.token(kind, given))


def under(alg: str) -> Change:
    return token(lambda agent, given: agent.key.compact({"alg": alg, "typ": tokens.TCT}, given))


def with_header(**header: Any) -> Change:
    return token(lambda agent, given: agent.key.compact({"alg": "EdDSA", "typ": tokens.TCT, **header}, given))


def by_another(_agent: ForeignAgent, given: dict[str, Any]) -> str:
    return OTHER.token(tokens.TCT, given)


def own_voucher(_agent: ForeignAgent, envelope: Envelope) -> None:
    envelope["payload"]["tct"] = envelope["payload"].pop("grant_voucher")


def voucher(**members: Any) -> Change:
    """A voucher that says something else than its token."""

    def change(agent: ForeignAgent, envelope: Envelope) -> None:
        given = tokens.claims_of(envelope["payload"]["tct"])
        envelope["payload"]["grant_voucher"] = tokens.voucher_for(agent.key, given, **members)

    return change


def proof_over(nonce: Callable[[Envelope], bytes]) -> Change:
    def change(agent: ForeignAgent, envelope: Envelope) -> None:
        envelope["payload"]["pop_signature"] = agent.key.sign(nonce(envelope))

    return change


def echoed(envelope: Envelope) -> str:
    return str(envelope["payload"]["pop_nonce_echo"])


def spoilt(make: Callable[[str], Any]) -> Change:
    """The text of the token changed after the fact."""
    return token(lambda agent, given: make(agent.key.token(tokens.TCT, given)))


_PROOF = ("0004 5.3", "a commit proves the key over the nonce's bytes")
_AUDIENCE = ("0004 5.3", "a commit's token is for its receiver")
_ISSUER = ("0004 5.3", "a commit's token is from its sender")
_LIFE = ("0005 10.4", "a token has not expired and does not outlive its issuer's manifest")
_FORM = ("0001 5.4.5", "a token has exactly its algorithm and its type in its header")
_CLAIMS = ("0005 2", "a token has these claims and these types")
_JTI = ("0005 2.2", "a token's id is a version 4 UUID in lower case")
_GRANTS = ("0005 4", "a token grants something, and nothing that its issuer does not offer")
_PAYLOAD = ("0004 3.3", "a commit has these members and these types")
_STRUCTURE = ("INVALID_ENVELOPE",)
_SUSPECT = ("TCT_SIGNATURE_INVALID",)

REFUSED: list[Row] = [
    row("a proof over another nonce", *_PROOF, "POP_VERIFICATION_FAILED", signed=proof_over(lambda _: b"\0" * 16)),
    row(
        "a proof over the nonce's letters",
        *_PROOF,
        "POP_VERIFICATION_FAILED",
        signed=proof_over(lambda envelope: echoed(envelope).encode()),
    ),
    row(
        "a proof that is no signature",
        *_PROOF,
        "POP_VERIFICATION_FAILED",
        *_STRUCTURE,
        signed=in_payload(pop_signature="x"),
    ),
    row("no proof", *_PAYLOAD, *_STRUCTURE, signed=in_payload(pop_signature=None)),
    row(
        "another nonce's echo",
        "0004 5.3",
        "a commit echoes the nonce that it answers",
        "NONCE_MISMATCH",
        signed=in_payload(pop_nonce_echo=encode(b"\0" * 16)),
    ),
    row("no echo", *_PAYLOAD, *_STRUCTURE, "NONCE_MISMATCH", signed=in_payload(pop_nonce_echo=None)),
    row("no token", *_PAYLOAD, *_STRUCTURE, signed=in_payload(tct=None)),
    row("a number for a token", *_PAYLOAD, *_STRUCTURE, *_SUSPECT, signed=in_payload(tct=7)),
    row(
        "a number for a voucher",
        *_PAYLOAD,
        *_STRUCTURE,
        "DELEGATION_INVALID_VOUCHER",
        signed=in_payload(grant_voucher=7),
    ),
    row(
        "an unknown member",
        "0001 7",
        "an unknown member outside extensions is refused",
        "UNKNOWN_FIELD",
        signed=in_payload(vendor=1),
    ),
    row(
        "another audience",
        *_AUDIENCE,
        "AUDIENCE_MISMATCH",
        signed=claims(aud=OTHER.aid, sub=OTHER.aid, cnf={"jkt": OTHER.thumbprint}),
    ),
    row("another audience than subject", *_AUDIENCE, "AUDIENCE_MISMATCH", *_SUSPECT, signed=claims(aud=OTHER.aid)),
    row("another key in cnf", *_CLAIMS, "TCT_CNF_MISMATCH", signed=claims(cnf={"jkt": OTHER.thumbprint})),
    row("a signature of another key", *_ISSUER, *_SUSPECT, signed=token(by_another)),
    row("another issuer", *_ISSUER, *_SUSPECT, signed=claims(iss=OTHER.aid)),
    row("a token that has expired", *_LIFE, "TCT_EXPIRED", signed=ends(-10)),
    row("a token that outlives the manifest", *_LIFE, "TCT_EXPIRES_AFTER_MANIFEST", signed=outliving),
    row("alg none", *_FORM, "TOKEN_ALG_MISMATCH", *_SUSPECT, signed=under("none")),
    row("alg nOnE", *_FORM, "TOKEN_ALG_MISMATCH", *_SUSPECT, signed=under("nOnE")),
    row("another suite's alg", *_FORM, "TOKEN_ALG_MISMATCH", signed=under("ES256")),
    row("a kid in the header", *_FORM, "TOKEN_ALG_MISMATCH", signed=with_header(kid="one")),
    row("a crit in the header", *_FORM, "TOKEN_ALG_MISMATCH", signed=with_header(crit=["x"])),
    row("a voucher in its place", *_FORM, "TOKEN_TYP_MISMATCH", signed=own_voucher),
    row("a token of type JWT", *_FORM, "TOKEN_TYP_MISMATCH", signed=of_kind("JWT")),
    row("two segments", *_FORM, *_SUSPECT, signed=spoilt(lambda text: text.rpartition(".")[0])),
    row("four segments", *_FORM, *_SUSPECT, signed=spoilt(lambda text: f"{text}.x")),
    row("padded segments", *_FORM, *_SUSPECT, signed=spoilt(lambda text: f"{text}==")),
    row("no token but words", *_FORM, *_SUSPECT, *_STRUCTURE, signed=spoilt(lambda _text: "not a token")),
    row(
        "the previous version",
        "0005 10.2",
        "a token's version is known",
        "UNKNOWN_VERSION",
        signed=claims(ver="aitp/0.2"),
    ),
    row("an unknown claim", *_CLAIMS, "UNKNOWN_FIELD", signed=claims(device_id="x")),
    row("no expiry", *_CLAIMS, *_SUSPECT, *_STRUCTURE, signed=claims(exp=None)),
    row("an expiry in words", *_CLAIMS, *_SUSPECT, *_STRUCTURE, signed=claims(exp="soon")),
    row(
        "an expiry beyond all numbers",
        *_CLAIMS,
        *_SUSPECT,
        *_STRUCTURE,
        "TCT_EXPIRES_AFTER_MANIFEST",
        signed=claims(exp=10**300),
    ),
    row("an issue in words", *_CLAIMS, *_SUSPECT, *_STRUCTURE, signed=claims(iat="now")),
    row(
        "an issue beyond all numbers", *_CLAIMS, *_SUSPECT, *_STRUCTURE, "TIMESTAMP_EXPIRED", signed=claims(iat=10**300)
    ),
    row("no id", *_JTI, *_SUSPECT, *_STRUCTURE, signed=claims(jti=None)),
    row("an id in upper case", *_JTI, *_SUSPECT, *_STRUCTURE, signed=claims(jti=str(uuid.uuid4()).upper())),
    row("an id of version 1", *_JTI, *_SUSPECT, *_STRUCTURE, signed=claims(jti=str(uuid.uuid1()))),
    row("an id that is no UUID", *_JTI, *_SUSPECT, *_STRUCTURE, signed=claims(jti="one")),
    row("grants that are not offered", *_GRANTS, "GRANT_OVERFLOW", signed=claims(grants=["far.look", "far.away"])),
    row("no grants", *_GRANTS, *_SUSPECT, "POLICY_VIOLATION", *_STRUCTURE, signed=claims(grants=[])),
    row("lists for grants", *_GRANTS, *_SUSPECT, *_STRUCTURE, signed=claims(grants=[[]])),
    row("a list for an issuer", *_CLAIMS, *_SUSPECT, *_STRUCTURE, signed=claims(iss=[])),
    row("an object for a subject", *_CLAIMS, *_SUSPECT, *_STRUCTURE, "TCT_CNF_MISMATCH", signed=claims(sub={})),
    row("a list for an audience", *_CLAIMS, *_SUSPECT, *_STRUCTURE, "AUDIENCE_MISMATCH", signed=claims(aud=[])),
    row("a list for an id", *_CLAIMS, *_SUSPECT, *_STRUCTURE, signed=claims(jti=[])),
    row("a list for a version", *_CLAIMS, *_SUSPECT, *_STRUCTURE, "UNKNOWN_VERSION", signed=claims(ver=[])),
    row("a list for cnf", *_CLAIMS, *_SUSPECT, *_STRUCTURE, "TCT_CNF_MISMATCH", signed=claims(cnf=[])),
    row("a list in cnf", *_CLAIMS, *_SUSPECT, *_STRUCTURE, "TCT_CNF_MISMATCH", signed=claims(cnf={"jkt": []})),
    row("a list for alg", *_FORM, "TOKEN_ALG_MISMATCH", *_SUSPECT, signed=with_header(alg=[])),
    row("an object for typ", *_FORM, "TOKEN_TYP_MISMATCH", *_SUSPECT, signed=with_header(typ={})),
    row("a list for an echo", *_PAYLOAD, *_STRUCTURE, "NONCE_MISMATCH", signed=in_payload(pop_nonce_echo=[])),
    row("a text for grants", *_GRANTS, *_SUSPECT, *_STRUCTURE, signed=claims(grants="far.look")),
    row(
        "the mark of an attestation", *_GRANTS, *_SUSPECT, "GRANT_OVERFLOW", signed=claims(grants=["aitp.attestation"])
    ),
]

ACCEPTED: list[Row] = [
    row("nothing special", "0004 3.3", "a commit is acknowledged"),
    row("nothing special, P-256", "0004 3.3", "a commit is acknowledged", suite="p256"),
    row("no voucher", "0004 3.3", "the grant voucher is optional", signed=in_payload(grant_voucher=None)),
    row("ten minutes left", *_LIFE, signed=ends(600)),
    row("an extension claim", "0012 1.1", "unknown extensions are ignored", signed=claims(ext={"com.example.x": 1})),
    row("extensions", "0012 5", "unknown extensions are ignored", signed=in_payload(extensions={"com.example.x": 1})),
]
