"""TCTs as reports make them: the shapes that are understood, and the many that are not."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid1, uuid4

import pytest

from tests.contract.wire import ControlPlane

V7 = "01920000-0000-7000-8000-000000000000"


def claims(jti: str, /, **changes: Any) -> dict[str, Any]:
    """The claims of a TCT; None removes one."""
    whole = {
        "jti": jti,
        "iss": f"iss-{jti}",
        "sub": f"sub-{jti}",
        "aud": f"aud-{jti}",
        "iat": 1795362590,
        "exp": 4102444800,
        "grants": ["demo.a", f"demo.{jti}"],
        "cnf": {"jkt": "thumb"},
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


async def found(cp: ControlPlane, jti: str, /, **query: str) -> list[dict[str, Any]]:
    """The rows of this issuer, which the claims name after the jti."""
    rows: list[dict[str, Any]] = (await cp.get("/api/tcts", issuer=f"iss-{jti}", **query)).json()["tcts"]
    return rows


async def test_a_reported_tct_is_shown_with_all_fields(cp: ControlPlane, unique: str) -> None:
    jti = str(UUID(unique))
    event = {"type": "tct.issued", "session_id": unique, "payload": {"tct": {"token": "a.b.c", "claims": claims(jti)}}}
    await cp.ingest(event)

    assert await found(cp, jti) == [
        {
            "jti": jti,
            "issuer": f"iss-{jti}",
            "subject": f"sub-{jti}",
            "audience": f"aud-{jti}",
            "grants": ["demo.a", f"demo.{jti}"],
            "bindingCnf": "thumb",
            "issuedAt": "2026-11-22 15:49:50+00",
            "expiresAt": "2100-01-01 00:00:00+00",
            "sessionId": unique,
            "revoked": False,
            "revokedAt": None,
        }
    ]


def _shapes(jti: str) -> dict[str, tuple[dict[str, Any], bool]]:
    whole = claims(jti)
    return {
        "tct with token and claims": ({"payload": {"tct": {"token": "a.b.c", "claims": whole}}}, True),
        "tct with claims": ({"payload": {"tct": {"claims": whole}}}, True),
        "tct is the claims": ({"payload": {"tct": whole}}, True),
        "tct at event level": ({"tct": {"claims": whole}}, True),
        "claims at event level": ({"tct": whole}, True),
        "one of many": ({"payload": {"tcts": [{"claims": whole}]}}, True),
        "tct with token alone": ({"payload": {"tct": {"token": "a.b.c"}}}, False),
        "tct is a token": ({"payload": {"tct": "a.b.c"}}, False),
        "payload is the claims": ({"payload": whole}, False),
        "payload has token and claims": ({"payload": {"token": "a.b.c", "claims": whole}}, False),
        "empty tcts beside a tct": ({"payload": {"tcts": [], "tct": whole}}, False),
    }


@pytest.mark.parametrize("event_type", ["tct.issued", "handshake.complete"])
@pytest.mark.parametrize("shape", list(_shapes("")))
async def test_a_shape_is_projected_or_not(cp: ControlPlane, unique: str, shape: str, event_type: str) -> None:
    event, projected = _shapes(jti := str(UUID(unique)))[shape]
    await cp.ingest({"type": event_type, **event})

    assert bool(await found(cp, jti)) is projected


@pytest.mark.parametrize("event_type", ["tct.renewed", "handshake.completed", "handshake.started"])
async def test_other_events_project_no_tct(cp: ControlPlane, unique: str, event_type: str) -> None:
    await cp.ingest({"type": event_type, "payload": {"tct": claims(jti := str(UUID(unique)))}})

    assert await found(cp, jti) == []


@pytest.mark.parametrize(
    "changes", [{"jti": V7}, {"jti": None}, {"jti": "x"}, {"iss": None}, {"sub": None}, {"exp": 4102444800000}], ids=str
)
async def test_claims_that_lack_something_are_silently_left_out(
    cp: ControlPlane, unique: str, changes: dict[str, Any]
) -> None:
    jti = str(UUID(unique))
    await cp.ingest({"type": "tct.issued", "payload": {"tct": claims(jti, **changes)}})

    assert await found(cp, jti) == []
    assert (await cp.get("/api/tcts", subject=f"sub-{jti}")).json()["tcts"] == []


@pytest.mark.parametrize("audience", [None, ["a", "b"]])
async def test_without_one_audience_it_is_the_subject(cp: ControlPlane, unique: str, audience: Any) -> None:
    jti = str(UUID(unique))
    await cp.ingest({"type": "tct.issued", "payload": {"tct": claims(jti, aud=audience)}})

    assert [row["audience"] for row in await found(cp, jti)] == [f"sub-{jti}"]


async def test_times_as_text_are_the_events_time_and_never(cp: ControlPlane, unique: str) -> None:
    jti = str(UUID(unique))
    reported = claims(jti, iat="2026-01-01T00:00:00Z", exp="2026-01-01T01:00:00Z")
    await cp.ingest({"type": "tct.issued", "ts": "2026-11-22T15:00:00Z", "payload": {"tct": reported}})

    (row,) = await found(cp, jti, active="true")
    assert (row["issuedAt"], row["expiresAt"]) == ("2026-11-22 15:00:00+00", None)


@pytest.mark.parametrize("jti", [str(uuid4()).upper(), str(uuid1())], ids=["upper case", "version 1"])
async def test_other_spellings_of_a_jti_are_lowered(cp: ControlPlane, unique: str, jti: str) -> None:
    await cp.ingest({"type": "tct.issued", "payload": {"tct": claims(jti)}})

    assert [row["jti"] for row in await found(cp, jti)] == [jti.lower()]


async def test_the_first_report_of_a_jti_wins(cp: ControlPlane, unique: str) -> None:
    jti = str(UUID(unique))
    await cp.ingest({"type": "tct.issued", "session_id": "first", "payload": {"tct": claims(jti)}})
    await cp.ingest({"type": "tct.issued", "session_id": "second", "payload": {"tct": claims(jti, grants=["x"])}})

    (row,) = await found(cp, jti)
    assert (row["sessionId"], row["grants"]) == ("first", ["demo.a", f"demo.{jti}"])


async def test_a_handshakes_two_tcts_are_both_shown_newest_first(cp: ControlPlane, unique: str) -> None:
    one, two = claims(str(UUID(unique))), claims(str(uuid4()), iat=1795362600)
    await cp.ingest({"type": "handshake.complete", "session_id": unique, "payload": {"tcts": [one, {"claims": two}]}})

    rows = (await cp.get("/api/tcts", sessionId=unique)).json()["tcts"]
    assert [row["jti"] for row in rows] == [two["jti"], one["jti"]]


async def test_filters_are_exact(cp: ControlPlane, unique: str) -> None:
    jti = str(UUID(unique))
    await cp.ingest({"type": "tct.issued", "session_id": unique, "payload": {"tct": claims(jti)}})

    for query in (
        {"subject": f"sub-{jti}"},
        {"audience": f"aud-{jti}"},
        {"capability": f"demo.{jti}"},
        {"sessionId": unique},
    ):
        assert len((await cp.get("/api/tcts", **query)).json()["tcts"]) == 1
    assert (await cp.get("/api/tcts", capability=f"demo.{jti[:-1]}")).json()["tcts"] == []


@pytest.mark.parametrize("query", [{"session_id": "x"}, {"run_id": "x"}, {"jti": V7}], ids=str)
async def test_parameters_that_are_no_filter_return_the_table(
    cp: ControlPlane, unique: str, query: dict[str, str]
) -> None:
    jti = str(UUID(unique))
    await cp.ingest({"type": "tct.issued", "payload": {"tct": claims(jti)}})

    assert len(await found(cp, jti, **query)) == 1


@pytest.mark.parametrize(("active", "shown"), [("true", 0), ("True", 1), ("1", 1), ("false", 1)])
async def test_only_the_exact_word_asks_for_those_that_are_not_over(
    cp: ControlPlane, unique: str, active: str, shown: int
) -> None:
    jti = str(UUID(unique))
    await cp.ingest({"type": "tct.issued", "payload": {"tct": claims(jti, exp=1795362600)}})

    assert len(await found(cp, jti, active=active)) == shown


@pytest.mark.parametrize("name", ["issuer", "issuer_aid", "issuerAid"])
async def test_an_issuer_has_four_names(cp: ControlPlane, unique: str, name: str) -> None:
    jti = str(UUID(unique))
    await cp.ingest({"type": "tct.issued", "payload": {"tct": claims(jti, iss=None, **{name: f"iss-{jti}"})}})

    assert len(await found(cp, jti)) == 1


@pytest.mark.parametrize(
    "changes",
    [{"cnf": "bare"}, {"cnf": None, "binding": {"cnf": "bare"}}, {"cnf": None, "binding": {"cnf": {"jkt": "bare"}}}],
    ids=str,
)
async def test_a_confirmation_may_be_a_bare_text_or_in_the_binding(
    cp: ControlPlane, unique: str, changes: dict[str, Any]
) -> None:
    jti = str(UUID(unique))
    await cp.ingest({"type": "tct.issued", "payload": {"tct": claims(jti, **changes)}})

    assert [row["bindingCnf"] for row in await found(cp, jti)] == ["bare"]
