"""What is inspected is judged as independent implementations judge it: keys and tokens here are not the SDK's."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from typing import Any

import aitp
import pytest
from aitp_verifier.delegation import verify_delegation_token
from aitp_verifier.errors import AitpError
from aitp_verifier.voucher import verify_grant_voucher
from hypothesis import given, settings
from hypothesis import strategies as st

from aitp_playground.cli.inspecting.documents import inspect
from aitp_playground.cli.inspecting.findings import Inspected
from aitp_playground.errors import InvalidRequest
from aitp_playground.events.codes import REGISTRY_CODES
from tests.interop.foreign.keys import Key
from tests.interop.foreign.tokens import DELEGATION, TCT, VOUCHER, claims_of, delegation, grant, voucher_for

NOW = 1_800_000_000
KEYS = [Key(), Key("p256"), Key(spelling="tagged")]
keys = pytest.mark.parametrize("key", KEYS, ids=["ed25519", "p256", "tagged"])
HOLDER, THIRD = Key(), Key("p256")


def looked_at(text: str, now: float = NOW) -> Inspected:
    return inspect(text.encode(), now)


def bad(text: str, now: float = NOW) -> str | None:
    found = looked_at(text, now)
    assert found.verdict == "bad", found
    assert found.code in REGISTRY_CODES
    return found.code


def tct(key: Key, **changes: Any) -> str:
    return grant(key, HOLDER.aid, ["demo.a"], NOW - 1, NOW + 1000, **changes).tct


@keys
def test_a_token_that_holds_is_shown_with_its_claims(key: Key) -> None:
    text = tct(key)
    found = looked_at(f"  {text}\n")
    assert (found.kind, found.verdict, found.code) == ("trust context token (TCT)", "good", None)
    assert found.document == claims_of(text)
    assert found.header is not None
    assert found.header["typ"] == TCT
    assert key.aid in found.said
    assert looked_at(json.dumps(text)).verdict == "good", "as it stands in JSON"


@keys
def test_a_token_is_over_when_it_says_so_and_not_before_its_time(key: Key) -> None:
    text = tct(key)
    end = claims_of(text)["exp"]
    assert looked_at(text, end - 1).verdict == "good"
    assert bad(text, end) == "TCT_EXPIRED"
    assert bad(text, NOW - 2) == "TIMESTAMP_EXPIRED"


@keys
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ver": "aitp/0.9"}, "UNKNOWN_VERSION"),
        ({"more": 1}, "UNKNOWN_FIELD"),
        ({"cnf": {"jkt": "x"}}, "TCT_CNF_MISMATCH"),
        ({"cnf": None}, "TCT_SIGNATURE_INVALID"),
        ({"iss": THIRD.aid}, "TOKEN_ALG_MISMATCH"),
        ({"iss": HOLDER.aid}, "TCT_SIGNATURE_INVALID"),
        ({"iss": 7}, "TCT_SIGNATURE_INVALID"),
        ({"iss": "https://idp.example/"}, "TCT_SIGNATURE_INVALID"),
        ({"exp": "soon"}, "TCT_SIGNATURE_INVALID"),
        ({"exp": True}, "TCT_SIGNATURE_INVALID"),
    ],
)
def test_what_is_wrong_with_a_token_has_the_registrys_code(key: Key, changes: dict[str, Any], code: str) -> None:
    expected = code
    if changes.get("iss") in (THIRD.aid, HOLDER.aid):
        issuer = THIRD if changes["iss"] == THIRD.aid else HOLDER
        expected = "TCT_SIGNATURE_INVALID" if issuer.suite == key.suite else "TOKEN_ALG_MISMATCH"
    elif changes.get("iss") == "https://idp.example/" and key.suite == "p256":
        expected = "TOKEN_ALG_MISMATCH"
    assert bad(tct(key, **changes)) == expected


@keys
def test_a_header_says_what_the_key_and_the_kind_say(key: Key) -> None:
    claims = claims_of(tct(key))
    other = "ES256" if key.suite == "ed25519" else "EdDSA"
    right = {"alg": "EdDSA" if key.suite == "ed25519" else "ES256", "typ": TCT}
    assert looked_at(key.compact(right, claims)).verdict == "good"
    assert bad(key.compact({**right, "alg": other}, claims)) == "TOKEN_ALG_MISMATCH"
    assert bad(key.compact({**right, "alg": "none"}, claims)) == "TOKEN_ALG_MISMATCH"
    assert bad(key.compact({**right, "kid": "1"}, claims)) == "TOKEN_ALG_MISMATCH"
    assert bad(key.compact({**right, "typ": "jose"}, claims)) == "TOKEN_TYP_MISMATCH"
    assert bad(key.compact({**right, "typ": VOUCHER}, claims)) == "DELEGATION_INVALID_VOUCHER", "a TCT is no voucher"


@keys
def test_no_byte_of_a_token_can_be_another(key: Key) -> None:
    text = tct(key)
    for place in range(0, len(text), 7):
        other = "A" if text[place] != "A" else "B"
        if text[place] == ".":
            continue
        changed = f"{text[:place]}{other}{text[place + 1 :]}"
        with contextlib.suppress(InvalidRequest):  # it is no JSON any more
            assert looked_at(changed).verdict == "bad", place
    assert bad(text[:-1]) == "TCT_SIGNATURE_INVALID", "what is no signature is a wrong one"
    with pytest.raises(InvalidRequest):
        looked_at(text + "=")


def test_the_last_character_of_a_signature_has_one_spelling() -> None:
    text = tct(KEYS[0])
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert [letter for letter in letters if looked_at(text[:-1] + letter).verdict == "good"] == [text[-1]]


@keys
def test_a_voucher_and_a_delegation_are_judged_as_the_independent_verifier_does(key: Key) -> None:
    given_tct = grant(key, HOLDER.aid, ["demo.a", "demo.b"], NOW - 1, NOW + 1000)
    voucher = str(given_tct.voucher)
    forged = Key(key.suite).token(VOUCHER, claims_of(voucher))
    foreign = voucher_for(Key(), given_tct.claims)
    narrower = voucher_for(key, given_tct.claims, grants=["demo.a"])
    made = {
        None: delegation(HOLDER, voucher, THIRD.aid, ["demo.a"]),
        "DELEGATION_SCOPE_EXCEEDED": delegation(HOLDER, narrower, THIRD.aid, ["demo.a", "demo.b"]),
        "DELEGATION_EXPIRED": delegation(HOLDER, voucher, THIRD.aid, ["demo.a"], exp=NOW + 5000),
        "DELEGATION_INVALID_VOUCHER": delegation(HOLDER, forged, THIRD.aid, ["demo.a"]),
        "DELEGATION_INVALID_SIGNATURE": delegation(HOLDER, voucher, HOLDER.aid, ["demo.a"]),
    }
    for code, text in made.items():
        found = looked_at(text)
        assert (found.verdict, found.code) == (("good", None) if code is None else ("bad", code))
        assert found.inner is not None
        assert found.inner["voucher"].kind == "grant voucher"
        assert _independent(text, key) == code
    assert bad(delegation(HOLDER, foreign, THIRD.aid, ["demo.a"], aud=key.aid)) is not None
    assert bad(Key().token(DELEGATION, claims_of(made[None]))) == "DELEGATION_INVALID_SIGNATURE"
    for text in (voucher, forged):
        try:
            verify_grant_voucher({"voucher_token": text}, NOW)
            theirs = "good"
        except AitpError:
            theirs = "bad"
        assert looked_at(text).verdict == theirs


def _independent(text: str, owner: Key) -> str | None:
    asked = {"delegation_token": text, "self_aid": owner.aid, "policy": {"fail_mode": "fail_open"}}
    try:
        verify_delegation_token(asked, NOW)
    except AitpError as error:
        return str(error.code)
    return None


def test_an_id_token_is_read_and_not_judged() -> None:
    head, claims = {"alg": "EdDSA", "typ": "JWT", "kid": "run"}, {"iss": "https://idp.example/", "exp": NOW + 60}
    found = looked_at(KEYS[0].compact(head, claims))
    assert (found.kind, found.verdict, found.document) == ("ID token", "unknown", claims)


# -- documents ---------------------------------------------------------------------------------------------------------

AGENT, OTHER = aitp.AitpAgent.generate(), aitp.AitpAgent.generate()
MANIFEST = AGENT.build_manifest("A", "http://localhost:1/aitp/handshake/", ["demo.a"], ttl_secs=600)
LIST = AGENT.sign_revocation_list([{"jti": "00000000-0000-4000-8000-000000000000"}], expires_in_secs=600)
ENVELOPE = AGENT.sign_envelope("error", '{"code": "x"}')


@pytest.mark.parametrize(("text", "kind"), [(MANIFEST, "manifest"), (LIST, "revocation list"), (ENVELOPE, "envelope")])
def test_a_document_that_holds_says_whose_it_is(text: str, kind: str) -> None:
    found = looked_at(text, time.time())
    assert (found.kind, found.verdict) == (kind, "good")
    assert AGENT.aid in found.said


@pytest.mark.parametrize(
    ("text", "later", "code"),
    [
        (MANIFEST.replace("demo.a", "demo.b"), 0, "MANIFEST_SIGNATURE_INVALID"),
        (MANIFEST, 10_000, "MANIFEST_EXPIRED"),
        (MANIFEST.replace("aitp/0.3", "aitp/9"), 0, "MANIFEST_VERSION_UNKNOWN"),
        ('{"manifest": {}}', 0, "MANIFEST_INVALID"),
        (LIST.replace("00000000-0000", "00000000-0001"), 0, "REVOCATION_SNAPSHOT_SIGNATURE_INVALID"),
        (LIST.replace(AGENT.aid, OTHER.aid), 0, "REVOCATION_SNAPSHOT_SIGNATURE_INVALID"),
        ('{"revocation_list": {}}', 0, "REVOCATION_SNAPSHOT_INVALID"),
        ('{"revocation_list": {"issuer": "x"}}', 0, "REVOCATION_SNAPSHOT_INVALID"),
        (ENVELOPE.replace('"x"', '"y"'), 0, "INVALID_SIGNATURE"),
        (ENVELOPE.replace(AGENT.aid, OTHER.aid), 0, "INVALID_SIGNATURE"),
        ('{"message_type": "error"}', 0, "INVALID_ENVELOPE"),
        ('{"message_type": "error", "sender": {"agent_id": "x"}}', 0, "UNKNOWN_VERSION"),
    ],
)
def test_what_is_wrong_with_a_document_has_the_registrys_code(text: str, later: int, code: str) -> None:
    assert bad(text, time.time() + later) == code


def test_a_list_that_is_over_is_bad() -> None:
    assert looked_at(LIST, time.time() + 10_000).verdict == "bad"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "neither a token nor JSON"),
        (b"hello", "neither a token nor JSON"),
        (b"[1]", "no object"),
        (b'"words"', "no object"),
        (b"{}", "none of the members manifest"),
        (b'{"manifest": 1}', "manifest has to be an object"),
        (b'{"a": 1, "a": 2}', "repeated"),
        (b"1.2.3", "three parts of a token and is none: its header is no base64url"),
        (b'"e30.e30e.x"', "three parts of a token and is none: its payload is no"),
        (b"MQ.e30.x", "its header is no JSON object"),
        (b"e30.eyJhIjoxLCJhIjoyfQ.x", "its payload is no JSON: the key 'a' is repeated"),
        (b"\xff\xfe", "no text"),
    ],
)
def test_what_is_none_of_the_protocol_is_refused(raw: bytes, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        inspect(raw, NOW)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.sampled_from(["manifest", "revocation_list", "message_type", "session_bundle"]),
    JSON,
    st.dictionaries(st.sampled_from(["issuer", "sender", "payload", "participants", "signature"]), JSON),
)
def test_no_document_makes_it_fail(member: str, value: Any, more: dict[str, Any]) -> None:
    for document in ({member: value, **more}, {member: more, "sender": {"agent_id": value}}):
        try:
            assert inspect(json.dumps(document).encode(), NOW).verdict != "good"
        except InvalidRequest:
            continue


@settings(deadline=None)
@given(st.sampled_from([TCT, VOUCHER, DELEGATION, "JWT", "x"]), st.dictionaries(st.text(max_size=8), JSON, max_size=6))
def test_no_claims_make_it_fail(typ: str, claims: dict[str, Any]) -> None:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    for more in ({}, {"iss": KEYS[0].aid, "voucher": tct(KEYS[0])}):
        text = f"{part({'alg': 'EdDSA', 'typ': typ})}.{part({**claims, **more})}."
        assert looked_at(text).verdict != "good"
        signed = KEYS[0].compact({"alg": "EdDSA", "typ": typ}, json.loads(json.dumps({**claims, **more})))
        with contextlib.suppress(InvalidRequest):  # a whole number that is larger than is read here
            assert looked_at(signed).verdict in ("bad", "unknown")
