"""Trust anchors: one row per namespace and issuer, compared as text."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.wire import POSTGRES_TIME, UUID, ControlPlane

UNKNOWN = "00000000-0000-4000-8000-000000000000"
PATH = "/api/trust-anchors"
ISSUER = "https://idp.example/"


async def added(cp: ControlPlane, namespace: str, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = (await cp.post(PATH, {"namespace": namespace, "issuerUrl": ISSUER, **fields})).json(201)
    return made


async def listed(cp: ControlPlane, namespace: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await cp.get(PATH, namespace=namespace)).json()["trustAnchors"]
    return rows


async def test_an_anchor_is_told_back_with_who_added_it(cp: ControlPlane, unique: str) -> None:
    made = await added(cp, unique, jwksUrl="https://idp.example/jwks", label="L")

    assert await listed(cp, unique) == [made]
    assert UUID.fullmatch(made.pop("id"))
    assert made.pop("addedBy").startswith("apikey:")
    assert POSTGRES_TIME.fullmatch(made.pop("createdAt"))
    assert POSTGRES_TIME.fullmatch(made.pop("updatedAt"))
    assert made == {
        "namespace": unique,
        "issuerUrl": ISSUER,
        "jwksUrl": "https://idp.example/jwks",
        "label": "L",
        "jwksCachedAt": None,
    }


async def test_the_newest_comes_first_in_its_namespace(cp: ControlPlane, unique: str) -> None:
    for name in ("a", "b"):
        await added(cp, unique, issuerUrl=ISSUER + name)
    await added(cp, unique + "-other")

    assert [row["issuerUrl"] for row in await listed(cp, unique)] == [ISSUER + "b", ISSUER + "a"]
    rows = (await cp.get(PATH)).json()["trustAnchors"]
    assert {unique, unique + "-other"} <= {row["namespace"] for row in rows}


async def test_the_same_issuer_twice_is_an_empty_500_and_no_second_row(cp: ControlPlane, unique: str) -> None:
    await added(cp, unique)

    again = await cp.post(PATH, {"namespace": unique, "issuerUrl": ISSUER})

    assert (again.status, again.body) == (500, b"")
    assert len(await listed(cp, unique)) == 1


async def test_a_final_slash_makes_another_anchor(cp: ControlPlane, unique: str) -> None:
    await added(cp, unique)
    await added(cp, unique, issuerUrl=ISSUER.rstrip("/"))

    assert len(await listed(cp, unique)) == 2


@pytest.mark.parametrize("body", [{}, {"issuer_url": ISSUER}, {"issuerUrl": "idp.example"}, {"issuerUrl": 7}], ids=str)
async def test_an_anchor_needs_a_web_address_under_its_camel_case_name(
    cp: ControlPlane, unique: str, body: dict[str, Any]
) -> None:
    answer = await cp.post(PATH, {"namespace": unique, **body})

    assert answer.refusal()[0] == 400
    assert await listed(cp, unique) == []


async def test_other_spellings_are_dropped(cp: ControlPlane, unique: str) -> None:
    assert (await added(cp, unique, jwks_url="https://idp.example/jwks"))["jwksUrl"] is None


async def test_a_label_over_128_letters_is_an_empty_500(cp: ControlPlane, unique: str) -> None:
    answer = await cp.post(PATH, {"namespace": unique, "issuerUrl": ISSUER, "label": "l" * 129})

    assert (answer.status, answer.body) == (500, b"")


async def test_a_patch_changes_what_it_names_and_null_clears(cp: ControlPlane, unique: str) -> None:
    made = await added(cp, unique, jwksUrl="https://idp.example/jwks", label="L")
    path = f"{PATH}/{made['id']}"

    told = (await cp.patch(path, {"issuerUrl": "anything", "label": None, "namespace": "other"})).json()

    assert (told["issuerUrl"], told["label"], told["jwksUrl"]) == ("anything", None, "https://idp.example/jwks")
    assert told["namespace"] == unique
    assert "addedBy" not in told
    assert (await cp.get(path)).json() == told


async def test_a_patch_into_another_anchor_is_an_empty_500(cp: ControlPlane, unique: str) -> None:
    await added(cp, unique)
    other = await added(cp, unique, issuerUrl=ISSUER + "other")

    clash = await cp.patch(f"{PATH}/{other['id']}", {"issuerUrl": ISSUER})

    assert (clash.status, clash.body) == (500, b"")
    assert (await cp.get(f"{PATH}/{other['id']}")).json()["issuerUrl"] == ISSUER + "other"


async def test_a_patch_that_is_no_json_or_of_nobody_is_refused(cp: ControlPlane, unique: str) -> None:
    made = await added(cp, unique)

    assert (await cp.patch(f"{PATH}/{made['id']}", data=b"{")).refusal()[0] == 400
    assert (await cp.patch(f"{PATH}/{UNKNOWN}", {"label": "x"})).refusal()[0] == 404
    assert (await cp.patch(f"{PATH}/nonsense", {"label": "x"})).refusal() == (500, None)


async def test_a_deletion_is_an_empty_204_once(cp: ControlPlane, unique: str) -> None:
    made = await added(cp, unique)

    gone = await cp.delete(f"{PATH}/{made['id']}")

    assert (gone.status, gone.body) == (204, b"")
    assert (await cp.delete(f"{PATH}/{made['id']}")).refusal()[0] == 404
    assert await listed(cp, unique) == []
