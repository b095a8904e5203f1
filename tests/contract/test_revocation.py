"""Revoking: the entry, what it flips, and the signed list."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid1, uuid4, uuid5

import aitp
import pytest

from tests.contract.test_delegations import chain, flat, of
from tests.contract.test_tcts import V7, claims, found
from tests.contract.wire import ISO_TIME, ControlPlane

ENTRIES = "/api/revocation/entries"
LIST = "/.well-known/aitp-revocation-list"


async def revoke(cp: ControlPlane, jti: str, **fields: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (await cp.post(ENTRIES, {"jti": jti, **fields})).json(201)
    return answer


async def entries(cp: ControlPlane) -> dict[str, dict[str, Any]]:
    """The signed list by jti, verified as a relying party would."""
    own = (await cp.get("/api/health", key=None)).json()["aid"]
    text = (await cp.get(LIST, key=None)).body.decode()
    aitp.verify_revocation_list(text, own)
    return {entry["jti"]: entry for entry in json.loads(text)["revocation_list"]["entries"]}


async def test_a_revocation_is_told_back(cp: ControlPlane) -> None:
    jti = str(uuid4())

    told = await revoke(cp, jti, reason="compromised")

    assert ISO_TIME.fullmatch(told.pop("revokedAt"))
    assert told == {"jti": jti, "reason": "compromised"}
    assert (await revoke(cp, str(uuid4())))["reason"] is None


@pytest.mark.parametrize("jti", ["x", V7, "0" * 32, str(UUID(int=0))])
async def test_what_is_no_jti_is_refused(cp: ControlPlane, jti: str) -> None:
    assert (await cp.post(ENTRIES, {"jti": jti})).refusal() == (400, "JTI_INVALID")


@pytest.mark.parametrize("body", [{}, {"jti": 7}, {"jti": None}, [], "text"], ids=str)
async def test_a_body_without_a_jti_is_refused(cp: ControlPlane, body: Any) -> None:
    status, code = (await cp.post(ENTRIES, body)).refusal()

    assert status == 400
    assert code in {"JTI_INVALID", "BODY_INVALID"}


@pytest.mark.parametrize("reason", [7, ["why"], {}, True], ids=str)
async def test_a_reason_that_is_no_text_is_refused(cp: ControlPlane, reason: Any) -> None:
    assert (await cp.post(ENTRIES, {"jti": str(uuid4()), "reason": reason})).refusal() == (400, "BODY_INVALID")


async def test_a_nul_in_a_reason_fails_the_insert_and_says_so(cp: ControlPlane) -> None:
    jti = str(uuid4())
    assert (await cp.post(ENTRIES, {"jti": jti, "reason": "a\0b"})).refusal() == (500, "INSERT_FAILED")
    assert jti not in await entries(cp)


async def test_the_event_of_a_revocation_is_the_control_planes_own(cp: ControlPlane) -> None:
    jti = str(uuid4())
    await revoke(cp, jti)

    told = [event for event in await cp.history(type="tct.revoked", limit=1000) if event["payload"].get("jti") == jti]
    assert [event["source"] for event in told] == ["cp"]


async def test_a_reason_has_at_most_500_letters(cp: ControlPlane) -> None:
    jti = str(uuid4())

    assert (await cp.post(ENTRIES, {"jti": jti, "reason": "r" * 501})).refusal() == (400, "BODY_INVALID")
    assert (await revoke(cp, jti, reason="r" * 500))["reason"] == "r" * 500


async def test_a_time_is_taken_when_it_is_a_date_text(cp: ControlPlane) -> None:
    told = await revoke(cp, str(uuid4()), revokedAt="2026-01-02T03:04:05Z")
    numeric = await revoke(cp, str(uuid4()), revokedAt=1000)
    misspelt = await revoke(cp, str(uuid4()), revoked_at="2026-01-02T03:04:05Z")

    assert told["revokedAt"] == "2026-01-02T03:04:05.000Z"
    assert numeric["revokedAt"] > "2026-01-03"
    assert misspelt["revokedAt"] > "2026-01-03"


async def test_a_revoked_jti_is_on_the_signed_list_at_once(cp: ControlPlane) -> None:
    jti = str(uuid4())
    await entries(cp)
    await revoke(cp, jti, reason="lost", revokedAt="2026-01-02T03:04:05Z")

    assert (await entries(cp))[jti] == {"jti": jti, "revoked_at": 1767323045, "reason": "lost"}


async def test_the_list_is_signed_by_the_control_plane_for_an_hour(cp: ControlPlane) -> None:
    answer = await cp.get(LIST, key=None)
    envelope = answer.json()
    manifest = (await cp.get("/.well-known/aitp-manifest", key=None)).json()["manifest"]

    assert "max-age=60" in answer.headers["Cache-Control"]
    assert envelope.keys() == {"revocation_list", "signature"}
    found = envelope["revocation_list"]
    assert (found["version"], found["issuer"]) == ("aitp/0.3", manifest["aid"])
    assert found["expires_at"] - found["published_at"] == 3600


async def test_the_list_proves_nothing_under_another_issuer_or_after_a_change(cp: ControlPlane) -> None:
    await revoke(cp, str(uuid4()))
    text = (await cp.get(LIST, key=None)).body.decode()
    changed = json.loads(text)
    changed["revocation_list"]["entries"].pop()

    own = changed["revocation_list"]["issuer"]
    for forged, issuer, code in (
        (text, aitp.AitpAgent.generate().aid, "issuer_mismatch"),
        (json.dumps(changed), own, "signature_invalid"),
    ):
        with pytest.raises(aitp.RevocationVerificationError) as refused:
            aitp.verify_revocation_list(forged, issuer)
        assert refused.value.code == code


async def test_an_upper_case_jti_is_listed_in_lower_case(cp: ControlPlane) -> None:
    jti = str(uuid4())
    await revoke(cp, jti.upper())

    assert jti in await entries(cp)


async def test_repeating_is_201_each_time_and_the_first_time_is_kept(cp: ControlPlane) -> None:
    jti = str(uuid4())
    await revoke(cp, jti, revokedAt="2026-01-02T03:04:05Z", reason="first")
    again = await revoke(cp, jti, revokedAt="2026-02-02T03:04:05Z", reason="second")

    assert again["revokedAt"] == "2026-02-02T03:04:05.000Z"
    assert (await entries(cp))[jti] == {"jti": jti, "revoked_at": 1767323045, "reason": "first"}


async def test_each_revocation_is_an_event_of_nobody_at_its_own_time(cp: ControlPlane) -> None:
    jti = str(uuid4())
    moment = "2026-03-04T05:06:07.089Z"
    await revoke(cp, jti, revokedAt=moment, reason="lost")
    await revoke(cp, jti, revokedAt=moment, reason="lost")

    at_once = await cp.history(type="tct.revoked", since=moment, until=moment, limit=1000)
    mine = [row for row in at_once if row["payload"].get("jti") == jti]
    assert len(mine) == 2
    assert {row["ts"] for row in mine} == {"2026-03-04 05:06:07.089+00"}
    assert {mine[0][name] for name in ("aidA", "aidB", "sessionId", "runId")} == {None}
    assert mine[0]["payload"]["reason"] == "lost"


async def test_a_reported_tct_is_shown_as_revoked_at_once(cp: ControlPlane, unique: str) -> None:
    jti = str(UUID(unique))
    await cp.ingest({"type": "tct.issued", "payload": {"tct": claims(jti)}})
    await revoke(cp, jti, revokedAt="2026-01-02T03:04:05Z")

    (row,) = await found(cp, jti)
    assert (row["revoked"], row["revokedAt"]) == (True, "2026-01-02 03:04:05+00")
    assert await found(cp, jti, active="true") == []


async def test_a_tct_reported_after_its_revocation_is_shown_as_good(cp: ControlPlane, unique: str) -> None:
    jti = str(UUID(unique))
    await revoke(cp, jti)
    await cp.ingest({"type": "tct.issued", "payload": {"tct": claims(jti)}})

    assert [row["revoked"] for row in await found(cp, jti)] == [False]
    assert jti in await entries(cp)


async def test_a_revoked_tct_takes_its_delegations_with_it_at_any_depth(cp: ControlPlane, unique: str) -> None:
    top, jtis = await chain(cp, unique)
    await revoke(cp, top)

    rows = await of(cp, f"from-{unique}")
    assert {row["revokedReason"] for row in rows} == {"parent_revoked"}
    assert {row["jti"] for row in rows if row["revoked"]} == set(jtis)
    assert not set(jtis) & (await entries(cp)).keys()


async def test_a_delegation_is_not_revoked_by_its_own_jti(cp: ControlPlane, unique: str) -> None:
    await cp.ingest({"type": "delegation.issued", "payload": flat(unique)})
    await revoke(cp, str(UUID(unique)))

    assert [row["revoked"] for row in await of(cp, f"from-{unique}")] == [False]


async def test_a_delegation_reported_under_a_revoked_parent_is_shown_as_good(cp: ControlPlane, unique: str) -> None:
    parent = str(uuid4())
    await revoke(cp, parent)
    await cp.ingest({"type": "delegation.issued", "payload": flat(unique, parent_jti=parent)})

    assert [row["revoked"] for row in await of(cp, f"from-{unique}")] == [False]


async def test_an_ingested_revocation_flips_the_row_but_is_never_listed(cp: ControlPlane, unique: str) -> None:
    jti = str(UUID(unique))
    await cp.ingest({"type": "tct.issued", "payload": {"tct": claims(jti)}})
    await cp.ingest({"type": "tct.revoked", "payload": {"jti": jti}})

    assert [row["revoked"] for row in await found(cp, jti)] == [True]
    assert jti not in await entries(cp)


@pytest.mark.parametrize("make", [uuid1, lambda: uuid5(uuid4(), "delegation")], ids=["version 1", "version 5"])
async def test_a_jti_of_another_version_spoils_the_list_for_everyone(own_cp: ControlPlane, make: Any) -> None:
    good = str(uuid4())
    await revoke(own_cp, good)
    assert good in await entries(own_cp)

    await revoke(own_cp, str(make()))

    spoilt = await own_cp.get(LIST, key=None)
    assert (spoilt.status, spoilt.body) == (500, b"")
