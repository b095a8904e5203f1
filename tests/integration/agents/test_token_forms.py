"""Tokens of every wrong form at a call, each refused by its own name, beside one of the right form that is served.

They are minted with the worker's own key, so nothing but what a test changes is wrong with them, and their holder
proves its key.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from typing import Any

import aitp
import pytest
from aitp_verifier import tct
from aitp_verifier.crypto import PrivateKey
from aitp_verifier.errors import AitpError
from aitp_verifier.jws import encode_jws

from tests.integration.agents.harness import SdkPeer, TelemetrySink, WorkerProcess, b64, claims_of

ECHO = "/capabilities/demo.echo"


def minted(worker: WorkerProcess, claims: dict[str, Any], kind: str = "aitp-tct+jwt") -> str:
    return str(encode_jws(kind, claims, PrivateKey.ed25519_from_seed(worker.seed), alg="EdDSA"))


def under(header: dict[str, Any], token: str) -> str:
    """The token under another header, its signature left as it was."""
    return ".".join((b64(json.dumps(header).encode()), *token.split(".")[1:]))


async def call(worker: WorkerProcess, caller: SdkPeer, token: str) -> tuple[int, Any]:
    """Status and code of a call under ``token``, with a proof if a challenge is given for it; the capability must not
    run when it is refused."""
    answer = await worker.request("POST", "/aitp/pop/challenge", "{}", {"X-AITP-TCT": token})
    if answer.status == 200:
        response = caller.agent.sign_pop_response(json.dumps(answer.body["payload"]))
        proof = b64(caller.agent.sign_envelope("pop_response", response).encode())
        answer = await worker.request("POST", ECHO, "{}", {"X-AITP-TCT": token, "X-AITP-PoP-Response": proof})
    return answer.status, answer.body.get("error", {}).get("code")


def verdict(worker: WorkerProcess, caller: SdkPeer, token: str) -> str:
    """What the independent verifier says of the token as its issuer, or ``accepted``."""
    asked = {
        "self_aid": worker.aid,
        "tct_token": token,
        "channel_bound_aid": caller.aid,
        "policy": {"fail_mode": "fail_open"},
    }
    try:
        tct.verify_tct_as_issuer(asked, int(time.time()))
    except AitpError as error:
        return str(error.code)
    return "accepted"


SOON = 4_102_444_800  # 2100
OTHER_AID = SdkPeer("other").aid
OTHER_JKT = aitp.compute_aid_jkt(SdkPeer("other").aid)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ver": "aitp/0.2"}, "UNKNOWN_VERSION"),
        ({"ver": "aitp/9"}, "UNKNOWN_VERSION"),
        ({"device_id": "x"}, "UNKNOWN_FIELD"),
        ({"cnf": {"jkt": OTHER_JKT}}, "TCT_CNF_MISMATCH"),
        ({"grants": []}, "TCT_SIGNATURE_INVALID"),
        ({"grants": ["aitp.attestation", "demo.echo"]}, "TCT_SIGNATURE_INVALID"),
        ({"exp": 1_700_000_000}, "TCT_EXPIRED"),
        ({"jti": "5F6F3A52-9D5F-4F3A-8A59-0C8F3A529D5F"}, "TCT_SIGNATURE_INVALID"),
        ({"jti": "5f6f3a52-9d5f-1f3a-8a59-0c8f3a529d5f"}, "TCT_SIGNATURE_INVALID"),
        ({"jti": "five"}, "TCT_SIGNATURE_INVALID"),
    ],
)
async def test_claims_that_are_wrong_are_named_as_the_independent_verifier_does(
    worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink, changes: dict[str, Any], code: str
) -> None:
    good = await caller.token_from(worker)
    assert await call(worker, caller, minted(worker, claims_of(good))) == (200, None)
    bad = minted(worker, claims_of(good) | changes)
    assert await call(worker, caller, bad) == (403, code)
    if changes.get("grants") != []:  # the verifier leaves that to whoever compares them with what is asked for
        assert verdict(worker, caller, bad) == code
    assert len(await sink.wait_for("capability.invoked")) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"iat": SOON - 100, "exp": SOON},
        {"exp": 1_700_000_000},
        {"aud": OTHER_AID},
        {"grants": ["demo.picky"]},
        {"ver": "aitp/9"},
        {"jti": "revoked"},
    ],
)
async def test_claims_of_a_forged_token_are_nobodys_word(
    worker: WorkerProcess, caller: SdkPeer, changes: dict[str, Any]
) -> None:
    """A caller that is told to come again, or which claim was wrong, would be told about a token that nobody issued."""
    good = claims_of(await caller.token_from(worker))
    assert (await worker.admin("revoke-tct", {"audience": "carol"})).status == 200
    jti = good["jti"] if changes == {"jti": "revoked"} else str(uuid.uuid4())
    forged = caller.reissue(minted(worker, good), **changes | {"jti": jti})
    answer = await worker.request("POST", ECHO, "{}", await caller.proof(worker, forged))
    told = answer.body["error"]
    assert (answer.status, told["code"], told["retryable"]) == (403, "TCT_SIGNATURE_INVALID", False)
    assert told["details"]["reason"] == "tct_invalid"


async def test_extensions_of_a_token_are_ignored(worker: WorkerProcess, caller: SdkPeer) -> None:
    claims = claims_of(await caller.token_from(worker))
    assert await call(worker, caller, minted(worker, claims | {"ext": {"com.example.x": [1]}})) == (200, None)
    assert (await call(worker, caller, minted(worker, claims | {"com.example.x": [1]})))[1] == "UNKNOWN_FIELD"


@pytest.mark.parametrize("header", [{"alg": name} for name in ("none", "None", "nOnE", "ES256", "HS256")])
async def test_algorithm_is_that_of_the_issuers_key(
    worker: WorkerProcess, caller: SdkPeer, header: dict[str, Any]
) -> None:
    good = await caller.token_from(worker)
    bad = under({"typ": "aitp-tct+jwt", **header}, good)
    assert await call(worker, caller, good) == (200, None)
    assert await call(worker, caller, bad) == (403, "TOKEN_ALG_MISMATCH")
    assert verdict(worker, caller, bad) == "TOKEN_ALG_MISMATCH"
    assert (await call(worker, caller, bad.rpartition(".")[0] + "."))[0] == 403


@pytest.mark.parametrize("member", [{"kid": "k"}, {"jwk": {}}, {"crit": ["b64"]}])
async def test_header_has_two_members_and_no_other(
    worker: WorkerProcess, caller: SdkPeer, member: dict[str, Any]
) -> None:
    good = await caller.token_from(worker)
    bad = under({"alg": "EdDSA", "typ": "aitp-tct+jwt", **member}, good)
    assert await call(worker, caller, under({"alg": "EdDSA", "typ": "aitp-tct+jwt"}, minted(worker, {})))  # no crash
    assert await call(worker, caller, bad) == (403, verdict(worker, caller, bad))


async def test_tokens_of_other_kinds_are_no_tct(worker: WorkerProcess, caller: SdkPeer) -> None:
    session, commit, session_id = await caller.open(worker)
    ack = await worker.request("POST", "/aitp/handshake/commit", commit, {"X-Aitp-Session-Id": session_id})
    given = json.loads(session.complete(json.dumps(ack.body), revoked_jtis=set()))
    delegation = caller.agent.build_delegation(given["grant_voucher"], SdkPeer("sub").aid, ["demo.echo"])
    assert await call(worker, caller, given["tct"]) == (200, None)
    for other in (given["grant_voucher"], delegation, minted(worker, claims_of(given["tct"]), "aitp-grant+jwt")):
        assert await call(worker, caller, other) == (403, "TOKEN_TYP_MISMATCH")
        assert verdict(worker, caller, other) in (
            "TOKEN_TYP_MISMATCH",
            "TCT_SIGNATURE_INVALID",
        )  # sees its issuer first


async def test_changed_signature_is_named_as_such(worker: WorkerProcess, caller: SdkPeer) -> None:
    good = await caller.token_from(worker)
    rest, _, signature = good.rpartition(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[-1] ^= 1
    assert await call(worker, caller, f"{rest}.{b64(bytes(raw))}") == (403, "TCT_SIGNATURE_INVALID")
    assert await call(worker, caller, good) == (200, None)


async def test_texts_that_are_no_compact_jws_are_refused(worker: WorkerProcess, caller: SdkPeer) -> None:
    good = await caller.token_from(worker)
    head, body, signature = good.split(".")
    claims = json.dumps(claims_of(good))
    twice = b64((claims[:-1] + ', "grants": ["demo.who"]}').encode())
    for bad in (
        f"{head}.{body}",
        f"{good}.{signature}",
        f"{head}.{body}==.{signature}",
        f"{head}.{body}.{signature}==",
        f"{head}.{twice}.{signature}",
        f"{head}.{body}.",
        "..",
    ):
        status, code = await call(worker, caller, bad)
        assert (status, code) in {(403, "TCT_SIGNATURE_INVALID"), (403, "TOKEN_TYP_MISMATCH")}, bad
    assert await call(worker, caller, good) == (200, None)


async def test_token_that_names_another_audience_or_holder_is_refused(worker: WorkerProcess, caller: SdkPeer) -> None:
    other = SdkPeer("other")
    claims = claims_of(await caller.token_from(worker))
    assert await call(worker, caller, minted(worker, claims | {"aud": other.aid})) == (403, "AUDIENCE_MISMATCH")
    swapped = {"sub": other.aid, "aud": other.aid, "cnf": {"jkt": aitp.compute_aid_jkt(other.aid)}}
    assert await call(worker, caller, minted(worker, claims | swapped)) == (403, "POP_RESPONSE_INVALID")
    assert await call(worker, other, minted(worker, claims | swapped)) == (200, None)


async def test_token_for_the_workers_own_key_grants_nothing(worker: WorkerProcess, caller: SdkPeer) -> None:
    claims = claims_of(await caller.token_from(worker))
    itself = SdkPeer("itself")
    itself.agent = aitp.AitpAgent.from_seed(worker.seed)
    own = {"sub": worker.aid, "aud": worker.aid, "cnf": {"jkt": aitp.compute_aid_jkt(worker.aid)}}
    assert (await call(worker, itself, minted(worker, claims | own)))[0] == 403


async def test_holder_under_the_other_spelling_of_its_key_is_the_same(worker: WorkerProcess, caller: SdkPeer) -> None:
    claims = claims_of(await caller.token_from(worker))
    tagged = {name: claims[name].replace("aid:pubkey:", "aid:pubkey:ed25519:") for name in ("iss", "sub", "aud")}
    assert await call(worker, caller, minted(worker, claims | tagged)) == (200, None)
    foreign = tagged | {"iss": tagged["sub"]}
    assert await call(worker, caller, minted(worker, claims | foreign)) == (403, "TCT_SIGNATURE_INVALID")


async def test_token_from_the_future_is_a_matter_of_clocks(worker: WorkerProcess, caller: SdkPeer) -> None:
    claims = claims_of(await caller.token_from(worker))
    ahead = minted(worker, claims | {"iat": int(time.time()) + 300})
    assert await call(worker, caller, ahead) == (403, "TIMESTAMP_EXPIRED")


async def test_reasons_are_told_to_the_introduced_who_proved_their_key_and_to_nobody_else(
    worker: WorkerProcess, caller: SdkPeer
) -> None:
    token = await caller.token_from(worker, ["demo.who"])
    told = await worker.request("POST", ECHO, "{}", await caller.proof(worker, token))
    assert told.body["error"]["details"] == {"reason": "grant_missing"}
    unproven = await worker.request("POST", ECHO, "{}", {"X-AITP-TCT": token})
    assert unproven.body["error"].keys() == {"code", "message", "retryable"}
    assert (await worker.admin("peers", {"peers": []}, method="PUT")).status == 200
    forgotten = await worker.request("POST", ECHO, "{}", await caller.proof(worker, token))
    assert (forgotten.status, forgotten.body["error"].keys()) == (403, {"code", "message", "retryable"})


def with_grants(worker: WorkerProcess, token: str, count: int) -> str:
    grants = ["demo.echo", *(f"demo.capability.number{n}" for n in range(count - 1))]
    return minted(worker, claims_of(token) | {"grants": grants, "jti": str(uuid.uuid4())})


async def test_token_of_many_grants_can_be_shown_and_one_beyond_the_limit_is_refused_in_words(
    worker: WorkerProcess, caller: SdkPeer
) -> None:
    token = await caller.token_from(worker)
    many = with_grants(worker, token, 300)
    assert 9_000 < len(many) < 16_384
    assert await call(worker, caller, many) == (200, None)
    answer = await worker.request("POST", ECHO, "{}", {"X-AITP-TCT": with_grants(worker, token, 600)})
    assert (answer.status, answer.headers["Content-Type"]) == (400, "application/json; charset=utf-8")
    assert answer.body["error"]["message"].endswith("too long: at most 16384 bytes")
    assert "eyJ" not in json.dumps(answer.body)
