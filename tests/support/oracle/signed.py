"""Everything that agents sign, verified by an implementation that shares no code with theirs.

What an agent makes must be right whatever becomes of it. A token that it only shows is somebody else's work, and may
have expired since: whether that was noticed is judged where it was shown to.
"""

from __future__ import annotations

import json
from typing import Any

from aitp_verifier.delegation import verify_delegation_token
from aitp_verifier.envelope import verify_envelope
from aitp_verifier.handshake import verify_handshake_payload
from aitp_verifier.manifest import verify_manifest
from aitp_verifier.sessionbundle import verify_session_bundle
from aitp_verifier.tct import verify_tct
from aitp_verifier.voucher import verify_grant_voucher

from tests.support.oracle.facts import Facts
from tests.support.oracle.lists import Lists
from tests.support.oracle.recording import (
    Contradiction,
    Document,
    claims_of,
    envelope_in,
    of_header,
    parsed,
    same,
    signed_things,
    tokens_in,
    typ,
)

GREETINGS = {"mutual_hello", "mutual_hello_ack"}
COMMITS = {"mutual_commit", "mutual_commit_ack"}
_OTHERS = {"pop_challenge", "pop_response", "error"}
_TOKENS = {"aitp-tct+jwt": "tct", "aitp-grant+jwt": "voucher", "aitp-delegation+jwt": "delegation", "JWT": "id_token"}
#: Whether something is revoked is asked of the issuer's list where it is decided, not of each copy that goes by.
_ELSEWHERE = {"policy": {"fail_mode": "fail_open"}}
#: How an initiator marks a hello of which it will not honour what it gives (docs/agents.md, "One direction").
_DIRECTION = "io.aitp-playground.direction"


class Signed:
    """Verifies what goes by, and remembers in ``facts`` what it says."""

    def __init__(self, facts: Facts, lists: Lists) -> None:
        self._facts = facts
        self._lists = lists
        self._known: set[str] = set()

    def in_request(self, message: Document, at: int) -> None:
        """What an agent sends."""
        documents = [parsed(message["body"]), *(of_header(*header) for header in message["headers"].items())]
        envelope = envelope_in(message["body"])
        makes_tokens = envelope is not None and envelope["message_type"] in GREETINGS | COMMITS
        for document in documents:
            for found in signed_things(document):
                if makes_tokens or not isinstance(found, str):
                    self._verify(found, message, at)
                elif (said := typ(found)) is not None and said not in _TOKENS:
                    raise Contradiction(f"a token of no type that is known: {said}")

    def in_answer(self, message: Document, at: int) -> None:
        """What an agent gives, or is given by others."""
        for found in signed_things(parsed(message["answer"])):
            self._verify(found, message, at)

    def unjudged(self) -> int:
        """How many ID tokens went by that were shown to nobody."""
        return len({text for text in self._known if typ(text) == "JWT"} - self._facts.shown)

    def _verify(self, found: Any, message: Document, at: int) -> None:
        text = found if isinstance(found, str) else json.dumps(found, sort_keys=True)
        if isinstance(found, str):
            kind = self._token(found, at)
        elif "message_type" in found:
            kind = self._envelope(found, message, at)
        elif "proof_of_possession" in found:
            kind = self._manifest(found, at)
        elif "revocation_list" in found:
            kind = "list"
            self._lists.take(message, found, at)
        elif "session_bundle" in found:
            kind = self._bundle(found, at)
        else:
            raise Contradiction(f"signed, and of no kind that is known: {sorted(found)}")
        if text not in self._known:
            self._known.add(text)
            self._facts.seen[kind] += 1

    def _manifest(self, manifest: Document, at: int) -> str:
        verify_manifest({"manifest": manifest, "now": at}, at)
        self._facts.require_agents(manifest["aid"])
        known = self._facts.manifests.get(manifest["aid"])
        if known is None or known["published_at"] <= manifest["published_at"]:
            self._facts.manifests[manifest["aid"]] = manifest
        return "manifest"

    def _envelope(self, envelope: Document, message: Document, at: int) -> str:
        verify_envelope({"envelope": envelope}, at)
        kind, sender = str(envelope["message_type"]), envelope["sender"]["agent_id"]
        self._facts.require_agents(sender)
        if kind in GREETINGS:
            self._greeting(envelope, message, at)
        elif kind in COMMITS:
            self.commit(envelope, at)
        elif kind not in _OTHERS:
            raise Contradiction(f"an envelope of no kind that is known: {kind}")
        return kind

    def _greeting(self, envelope: Document, message: Document, at: int) -> None:
        """Steps of RFC-AITP-0004, section 5.2, for whoever sent the hello; a hello is judged where it is served."""
        self._manifest(envelope["payload"]["manifest"], at)
        if envelope["message_type"] == "mutual_hello_ack":
            hello = envelope_in(message["body"])
            if hello is None:
                raise Contradiction("an acknowledgement of what is no greeting")
            given = {"self_aid": hello["sender"]["agent_id"], "sent_pop_nonce": hello["payload"]["pop_nonce"]}
            self.identity(envelope, message, at, **given)
        self._facts.greetings[envelope["payload"]["pop_nonce"]] = envelope

    def identity(self, envelope: Document, message: Document, at: int, **given: Any) -> None:
        """Whether a greeting is of whoever it says, for the agent that ``given`` says. Raises ``AitpError``."""
        identity, trusted = envelope["payload"].get("identity"), message.get("trusted", {})
        if isinstance(identity, dict):
            self._facts.shown.add(str(identity.get("proof")))
        rules = {
            "envelope": envelope,
            "trust_store": [envelope["sender"]["agent_id"]],
            "self_trust_anchors": list(trusted),
            "resolved_issuer_keys": trusted,
            "self_accepted_identity_types": ["pinned_key", "oidc"],
        }
        verify_handshake_payload(rules | given, at)

    def commit(self, envelope: Document, at: int) -> None:
        """Steps of sections 5.3 and 5.4: it echoes a nonce of the one that takes it, and grants what that one asked for
        of what is on offer (section 4.1). Raises ``AitpError`` and ``Contradiction``."""
        payload, sender = envelope["payload"], envelope["sender"]["agent_id"]
        greeting = self._facts.greetings.get(str(payload.get("pop_nonce_echo")))
        if greeting is None:
            raise Contradiction("the nonce that is echoed is in no greeting")
        receiver, offered = greeting["sender"]["agent_id"], self._facts.manifest(sender)["offered_capabilities"]
        given = {"envelope": envelope, "self_aid": receiver, "self_pop_nonce": payload["pop_nonce_echo"]}
        verify_handshake_payload(given | {"issuer_offered_capabilities": offered}, at)
        claims = claims_of(payload["tct"])
        same("issuer of a token", claims["iss"], sender)
        beyond = set(claims["grants"]) - set(greeting["payload"]["requested_grants"] or offered)
        if beyond:
            raise Contradiction(f"granted and not requested: {', '.join(sorted(beyond))}")
        check_voucher(payload, claims)
        hello = self._facts.greetings.get(greeting["payload"].get("pop_nonce_echo", ""), {})
        if hello.get("extensions", {}).get(_DIRECTION) == "one":
            self._facts.withheld.add(claims["jti"])

    def _token(self, token: str, at: int) -> str:
        said = typ(token)
        if said == "aitp-tct+jwt":
            self._tct(token, at)
        elif said == "aitp-grant+jwt":
            verify_grant_voucher({"voucher_token": token}, at)
            self._facts.require_agents(claims_of(token)["iss"])
        elif said == "aitp-delegation+jwt":
            claims = claims_of(token)
            self._facts.require_agents(claims["iss"])
            verify_delegation_token({"delegation_token": token, "self_aid": claims["aud"], **_ELSEWHERE}, at)
            self._token(claims["voucher"], at)
        elif said != "JWT":  # which is verified with the greeting that it is in
            raise Contradiction(f"a token of no type that is known: {said}")
        return _TOKENS[said]

    def _tct(self, token: str, at: int) -> None:
        claims = claims_of(token)
        self._facts.require_agents(claims["iss"])
        self._facts.require_agents(claims["sub"])
        manifest = self._facts.manifest(claims["iss"])
        given = {"tct_token": token, "expected_audience": claims["sub"], "issuer_manifest": manifest}
        verify_tct(given | _ELSEWHERE, at)
        self._facts.tcts[claims["jti"]] = claims

    def _bundle(self, bundle: Document, at: int) -> str:
        body = bundle["session_bundle"]
        manifest = self._facts.manifest(body["coordinator"])
        for participant in body["participants"]:
            given = {"session_bundle": bundle, "self_aid": participant["aid"], "coordinator_manifest": manifest}
            verify_session_bundle(given, at)
        return "bundle"


def check_voucher(given: Document, claims: Document) -> None:
    """What may be passed on of a token is what it grants (RFC-AITP-0005, section 8)."""
    if not given.get("grant_voucher"):
        return
    voucher = claims_of(given["grant_voucher"])
    for name in ("iss", "sub", "exp", "grants"):
        same(f"{name} of a voucher", voucher[name], claims[name])
    same("source of a voucher", voucher["src_jti"], claims["jti"])


def only_tct(answer: Document) -> Document:
    """The claims of the one TCT that is given."""
    [token] = [text for text in tokens_in(answer) if typ(text) == "aitp-tct+jwt"]
    return claims_of(token)
