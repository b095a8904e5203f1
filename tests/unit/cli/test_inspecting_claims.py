"""Every claim of every kind of token has to be there and be what the standard says; held against the independent
verifier, which knows which claims there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from aitp_verifier import delegation as theirs_of_delegations
from aitp_verifier.delegation import verify_delegation_token
from aitp_verifier.errors import AitpError
from aitp_verifier.tct import TCT_CLAIM_FIELDS, verify_tct
from aitp_verifier.voucher import VOUCHER_CLAIM_FIELDS, verify_grant_voucher

from aitp_playground.cli.inspecting.claims import CLAIMS, OF_CHAINS
from aitp_playground.cli.inspecting.documents import inspect
from aitp_playground.events.codes import REGISTRY_CODES
from tests.interop.foreign.keys import Key
from tests.interop.foreign.tokens import DELEGATION, TCT, VOUCHER, claims_of, delegation, grant

NOW = 1_800_000_000
OWNER, HOLDER, THIRD = Key(), Key("p256"), Key()
GRANT = grant(OWNER, HOLDER.aid, ["demo.a"], NOW - 1, NOW + 1000)
MADE = {TCT: GRANT.tct, VOUCHER: str(GRANT.voucher)}
MADE[DELEGATION] = delegation(HOLDER, MADE[VOUCHER], THIRD.aid, ["demo.a"])
SIGNERS = {TCT: OWNER, VOUCHER: OWNER, DELEGATION: HOLDER}
KNOWN = {
    TCT: TCT_CLAIM_FIELDS,
    VOUCHER: VOUCHER_CLAIM_FIELDS,
    DELEGATION: theirs_of_delegations._DELEGATION_CLAIM_FIELDS,
}
#: What it is for a claim to be absent.
GONE = object()
WRONG: list[Any] = [GONE, None, True, 5, -1.5, "everything", "", [], [5], ["demo.a", 5], [["demo.a"]], {}, {"jkt": 5}]
#: What of these is as good as what stands there.
FITTING: dict[str, list[Any]] = {
    "ext": [GONE, {}, {"jkt": 5}],
    "iat": [5],
    "exp": [5],
    **{name: [GONE] for name in OF_CHAINS},
}


def _wrong() -> Iterator[Any]:
    for kind, names in KNOWN.items():
        for name in sorted(names):
            fitting = FITTING.get(name, []) if name != "jti" or kind == DELEGATION else []
            for value in WRONG:
                if value not in fitting:
                    shown = "absent" if value is GONE else json.dumps(value)
                    yield pytest.param(kind, name, value, id=f"{kind}-{name}-{shown}")


def _with(kind: str, **changes: Any) -> str:
    claims = {name: value for name, value in {**claims_of(MADE[kind]), **changes}.items() if value is not GONE}
    return SIGNERS[kind].token(kind, claims)


def _independent(kind: str, text: str) -> str | None:
    policy = {"policy": {"fail_mode": "fail_open"}}
    try:
        if kind == TCT:
            verify_tct({"tct_token": text, **policy}, NOW)
        elif kind == VOUCHER:
            verify_grant_voucher({"voucher_token": text}, NOW)
        else:
            verify_delegation_token({"delegation_token": text, "self_aid": OWNER.aid, **policy}, NOW)
    except AitpError as error:
        return str(error.code)
    return None


@pytest.mark.parametrize(("kind", "name", "value"), list(_wrong()))
def test_a_claim_that_is_missing_or_is_not_what_it_has_to_be_is_bad(kind: str, name: str, value: Any) -> None:
    text = _with(kind, **{name: value})
    found = inspect(text.encode(), NOW)
    assert found.verdict == "bad"
    assert found.code in REGISTRY_CODES
    # Without its issuer there is neither key nor algorithm.
    if name != "iss":
        assert name in found.said
        # An audience that is no AID is not the verifier's either, and that is what it says.
        assert _independent(kind, text) in (None, found.code) or name in {"aud", *OF_CHAINS}
    if name in OF_CHAINS and kind == DELEGATION:
        assert found.code == "DELEGATION_MULTIHOP_NOT_SUPPORTED"


@pytest.mark.parametrize("kind", MADE)
def test_the_claims_that_are_known_are_the_standards(kind: str) -> None:
    must, may = CLAIMS[kind]
    assert must | may | (OF_CHAINS if kind == DELEGATION else set()) == KNOWN[kind]
    for text in (MADE[kind], _with(kind, ext={"com.example.x": 5})):
        assert (inspect(text.encode(), NOW).verdict, _independent(kind, text)) == ("good", None)


@pytest.mark.parametrize("jti", ["00000000-0000-1000-8000-000000000000", "ABCDEF00-0000-4000-8000-000000000000"])
def test_an_id_is_a_version_4_uuid_in_lower_case(jti: str) -> None:
    for kind, name in ((TCT, "jti"), (VOUCHER, "src_jti")):
        assert name in inspect(_with(kind, **{name: jti}).encode(), NOW).said


@pytest.mark.parametrize("kind", [TCT, DELEGATION])
def test_a_binding_is_the_keys_thumbprint_and_nothing_else(kind: str) -> None:
    right = claims_of(MADE[kind])["cnf"]
    for cnf, code in (({**right, "x": 5}, "UNKNOWN_FIELD"), ({"jkt": 5}, "TCT_CNF_MISMATCH"), ({}, "TCT_CNF_MISMATCH")):
        assert inspect(_with(kind, cnf=cnf).encode(), NOW).code == code
