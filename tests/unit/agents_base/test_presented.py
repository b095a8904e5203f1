"""What another agent presents itself with, member by member: each defect by the registry's code for it."""

from __future__ import annotations

import base64
import copy
import json
import time
from collections.abc import Callable
from typing import Any

import aitp
import pytest

from base.aids import canonical, public_key, same_key
from base.protocol.presented import check_commit, check_greeting, check_manifest
from base.refusals import Refusal

URL = "http://localhost:1/aitp/handshake/"
Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def receiver() -> aitp.AitpAgent:
    return aitp.AitpAgent.generate()


@pytest.fixture(scope="module")
def hello(receiver: aitp.AitpAgent) -> dict[str, Any]:
    sender = aitp.AitpAgent.generate()
    sender.build_manifest("sender", URL, ["s.one"])
    manifest = receiver.build_manifest("receiver", URL, ["r.one"])
    message = json.loads(sender.new_session(pinned_keys=[receiver.aid]).build_hello(manifest, ["r.one"]))
    payload: dict[str, Any] = message["payload"]
    return payload


def code_of(check: Callable[[], Any]) -> str | None:
    try:
        check()
    except Refusal as refusal:
        return refusal.registry_code
    return None


def edited(document: dict[str, Any], edit: Edit) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    edit(changed)
    return changed


def greet(payload: dict[str, Any], receiver: aitp.AitpAgent) -> None:
    """Check a hello as of whom its manifest is."""
    manifest = payload.get("manifest")
    sender = manifest["aid"] if isinstance(manifest, dict) else "aid:pubkey:nobody"
    check_greeting(payload, sender, receiver.aid)


def oidc(claims: dict[str, Any], header: dict[str, Any] | None = None) -> Edit:
    """The identity becomes an OIDC one, with an ID token of these claims."""

    def segment(part: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()

    def edit(payload: dict[str, Any]) -> None:
        token = ".".join((segment({"alg": "EdDSA"} | (header or {})), segment(claims), "c2ln"))
        payload["identity"] = {"type": "oidc", "issuer": "https://id/", "subject": "s", "proof": token}
        payload["manifest"]["identity_hint"] = {"type": "oidc", "subject": "s", "issuer": "https://id/"}

    return edit


def test_an_honest_hello_of_each_suite_passes(receiver: aitp.AitpAgent, hello: dict[str, Any]) -> None:
    assert check_greeting(hello, hello["manifest"]["aid"], receiver.aid) is hello
    other = aitp.AitpAgent.generate("p256")
    other.build_manifest("other", URL, ["o.one"])
    manifest = receiver.build_manifest("receiver", URL, ["r.one"])
    message = json.loads(other.new_session(pinned_keys=[receiver.aid]).build_hello(manifest, ["r.one"]))
    check_greeting(message["payload"], other.aid, receiver.aid)


HELLO_DEFECTS: dict[str, tuple[Edit, str]] = {
    "no identity": (lambda p: p.pop("identity"), "INVALID_ENVELOPE"),
    "identity as a text": (lambda p: p.update(identity="me"), "INVALID_ENVELOPE"),
    "no nonce": (lambda p: p.pop("pop_nonce"), "INVALID_ENVELOPE"),
    "nonce as a number": (lambda p: p.update(pop_nonce=7), "INVALID_ENVELOPE"),
    "no manifest": (lambda p: p.pop("manifest"), "INVALID_ENVELOPE"),
    "grants as a text": (lambda p: p.update(requested_grants="r.one"), "INVALID_ENVELOPE"),
    "a grant that is no text": (lambda p: p.update(requested_grants=[1]), "INVALID_ENVELOPE"),
    "a grant with a blank": (lambda p: p.update(requested_grants=["r. one"]), "INVALID_ENVELOPE"),
    "a grant with a line end": (lambda p: p.update(requested_grants=["r.one\n"]), "INVALID_ENVELOPE"),
    "an empty grant": (lambda p: p.update(requested_grants=[""]), "INVALID_ENVELOPE"),
    "a member too many": (lambda p: p.update(region="x"), "UNKNOWN_FIELD"),
    "a member too many and one missing": (lambda p: (p.update(region="x"), p.pop("pop_nonce")), "INVALID_ENVELOPE"),
    "identity of a type of its own": (lambda p: p["identity"].update(type="x509"), "IDENTITY_FAILED"),
    "identity without a type": (lambda p: p["identity"].pop("type"), "IDENTITY_FAILED"),
    "another key in the identity": (lambda p: p["identity"].update(public_key="A" * 43), "IDENTITY_FAILED"),
    "another key in the hint": (
        lambda p: p["manifest"]["identity_hint"].update(public_key="A" * 43),
        "IDENTITY_FAILED",
    ),
    "an OIDC identity with a key": (lambda p: p["identity"].update(type="oidc"), "IDENTITY_FAILED"),
}


@pytest.mark.parametrize("defect", HELLO_DEFECTS)
def test_defects_of_a_hello(receiver: aitp.AitpAgent, hello: dict[str, Any], defect: str) -> None:
    edit, code = HELLO_DEFECTS[defect]
    assert code_of(lambda: greet(edited(hello, edit), receiver)) == code


def test_a_hello_may_carry_extensions(receiver: aitp.AitpAgent, hello: dict[str, Any]) -> None:
    greet(edited(hello, lambda p: p.update(extensions={"org.example.x": 1})), receiver)
    greet(edited(hello, lambda p: p["manifest"].update(extensions={"org.example.x": 1})), receiver)


MANIFEST_DEFECTS: dict[str, tuple[Edit, str]] = {
    "no endpoint": (lambda m: m.pop("handshake_endpoint"), "MANIFEST_INVALID"),
    "a relative endpoint": (lambda m: m.update(handshake_endpoint="/aitp/handshake/"), "MANIFEST_INVALID"),
    "an endpoint of another scheme": (lambda m: m.update(handshake_endpoint="ftp://x/y"), "MANIFEST_INVALID"),
    "an endpoint that is no URL": (lambda m: m.update(handshake_endpoint="http://[::1"), "MANIFEST_INVALID"),
    "capabilities as an object": (lambda m: m.update(offered_capabilities={}), "MANIFEST_INVALID"),
    "an expiry as a text": (lambda m: m.update(expires_at="tomorrow"), "MANIFEST_INVALID"),
    "a yes for a time": (lambda m: m.update(published_at=True), "MANIFEST_INVALID"),
    "a name of 129 letters": (lambda m: m.update(display_name="x" * 129), "MANIFEST_INVALID"),
    "published in nine years": (lambda m: m.update(published_at=int(time.time()) + 9 * 31557600), "MANIFEST_INVALID"),
    "a hint without a subject": (lambda m: m["identity_hint"].pop("subject"), "MANIFEST_INVALID"),
    "a hint of OIDC with a key": (lambda m: m["identity_hint"].update(type="oidc", issuer="x"), "MANIFEST_INVALID"),
    "a hint of a key with an issuer": (lambda m: m["identity_hint"].update(issuer="x"), "MANIFEST_INVALID"),
    "a hint without its key": (lambda m: m["identity_hint"].pop("public_key"), "MANIFEST_INVALID"),
    "a member too many": (lambda m: m.update(region="x"), "UNKNOWN_FIELD"),
    "a member too many in the hint": (lambda m: m["identity_hint"].update(proof="x"), "UNKNOWN_FIELD"),
}


@pytest.mark.parametrize("defect", MANIFEST_DEFECTS)
def test_defects_of_a_manifest(hello: dict[str, Any], defect: str) -> None:
    edit, code = MANIFEST_DEFECTS[defect]
    assert code_of(lambda: check_manifest(edited(hello["manifest"], edit))) == code


@pytest.mark.parametrize("manifest", [None, [], "text", 5])
def test_what_is_no_manifest(manifest: Any) -> None:
    assert code_of(lambda: check_manifest(manifest)) == "MANIFEST_INVALID"


def test_a_manifest_at_the_bounds_is_good(hello: dict[str, Any]) -> None:
    check_manifest(edited(hello["manifest"], lambda m: m.update(display_name="x" * 128)))
    check_manifest(edited(hello["manifest"], lambda m: m.update(published_at=int(time.time()) + 290)))
    check_manifest(edited(hello["manifest"], lambda m: m.pop("display_name")))


@pytest.mark.parametrize(
    ("claims", "header", "code"),
    [
        ({"aud": "RECEIVER"}, {}, None),
        ({"aud": ["RECEIVER"]}, {}, "IDENTITY_FAILED"),
        ({"aud": "another"}, {}, "IDENTITY_FAILED"),
        ({}, {}, "IDENTITY_FAILED"),
        *[({"aud": "RECEIVER"}, {name: "x"}, "IDENTITY_FAILED") for name in ("jwk", "jku", "x5u", "x5c", "crit")],
    ],
)
def test_id_tokens(
    receiver: aitp.AitpAgent, hello: dict[str, Any], claims: dict[str, Any], header: dict[str, Any], code: str | None
) -> None:
    meant = json.loads(json.dumps(claims).replace("RECEIVER", receiver.aid))
    assert code_of(lambda: greet(edited(hello, oidc(meant, header)), receiver)) == code


@pytest.mark.parametrize("proof", [None, 7, "", "a.b.c", "...."])
def test_what_is_no_id_token(receiver: aitp.AitpAgent, hello: dict[str, Any], proof: Any) -> None:
    broken = edited(edited(hello, oidc({})), lambda p: p["identity"].update(proof=proof))
    assert code_of(lambda: greet(broken, receiver)) == "IDENTITY_FAILED"


COMMIT = {"tct": "a.b.c", "pop_signature": "s", "pop_nonce_echo": "n"}


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (COMMIT, None),
        (COMMIT | {"grant_voucher": None}, None),
        (COMMIT | {"grant_voucher": "a.b.c", "extensions": {}}, None),
        (COMMIT | {"grant_voucher": 7}, "INVALID_ENVELOPE"),
        (COMMIT | {"tct": None}, "INVALID_ENVELOPE"),
        ({"tct": "a.b.c", "pop_signature": "s"}, "INVALID_ENVELOPE"),
        (COMMIT | {"more": 1}, "UNKNOWN_FIELD"),
        ([], "INVALID_ENVELOPE"),
    ],
)
def test_commits(payload: Any, code: str | None) -> None:
    assert code_of(lambda: check_commit(payload)) == code


def test_one_key_has_two_spellings() -> None:
    plain, tagged, other = "aid:pubkey:AAA", "aid:pubkey:ed25519:AAA", "aid:pubkey:p256:AAA"
    assert canonical(tagged) == canonical(plain) == plain
    assert same_key(tagged, plain)
    assert not same_key(other, plain)
    assert not any(same_key(nobody, plain) for nobody in (None, 7, "", [plain]))
    assert public_key(plain) == public_key(tagged) == public_key(other) == "AAA"


def test_a_manifest_of_another_agent_is_no_greeting(receiver: aitp.AitpAgent, hello: dict[str, Any]) -> None:
    other = aitp.AitpAgent.generate().aid
    assert code_of(lambda: check_greeting(hello, other, receiver.aid)) == "INVALID_ENVELOPE"
