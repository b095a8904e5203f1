"""Trust anchors, pinned keys, and the audit trail of changing them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.unit.control_plane.asking import Plane

ANCHORS = "/api/trust-anchors"
PINS = "/api/pinned-keys"
AID = "aid:pubkey:" + "A" * 43
KEY = "b" * 43


async def anchor(plane: Plane, issuer: str = "https://idp.example/", **more: Any) -> Any:
    answer = await plane.ask("POST", ANCHORS, {"issuerUrl": issuer, **more})
    assert answer.status == 201
    return answer.json


async def test_an_anchor_has_all_fields_and_names_the_key_that_added_it_only_in_lists(plane: Plane) -> None:
    made = await anchor(plane, namespace="n", jwksUrl="https://idp.example/jwks", label="L")
    assert list(made) == [
        "id", "namespace", "issuerUrl", "jwksUrl", "label", "jwksCachedAt", "addedBy", "createdAt", "updatedAt",
    ]  # fmt: skip
    assert made["addedBy"].startswith("apikey:")
    assert len(made["addedBy"]) == len("apikey:") + 16
    assert plane.running.key not in str(made)
    assert made["createdAt"].endswith("+00")
    shown = (await plane.ask("GET", f"{ANCHORS}/{made['id']}")).json
    assert shown == {name: value for name, value in made.items() if name != "addedBy"}
    assert (await plane.ask("GET", ANCHORS)).json == {"trustAnchors": [made]}


async def test_anchors_come_newest_first_and_by_namespace(plane: Plane) -> None:
    await anchor(plane, "https://a.example", namespace="one")
    await anchor(plane, "https://b.example", namespace="two")
    await anchor(plane, "https://b.example/", namespace="two")

    async def issuers(query: str) -> list[str]:
        return [row["issuerUrl"] for row in (await plane.ask("GET", ANCHORS + query)).json["trustAnchors"]]

    assert await issuers("") == ["https://b.example/", "https://b.example", "https://a.example"]
    assert await issuers("?namespace=two") == ["https://b.example/", "https://b.example"]
    assert await issuers("?namespace=three") == []


async def test_an_anchor_that_exists_is_an_empty_500(plane: Plane) -> None:
    await anchor(plane)
    again = await plane.ask("POST", ANCHORS, {"issuerUrl": "https://idp.example/"})
    assert (again.status, again.body) == (500, b"")
    await anchor(plane, namespace="another")


@pytest.mark.parametrize(
    "body", [{}, {"issuer_url": "https://x"}, {"issuerUrl": "ftp://x"}, {"issuerUrl": 5}, [], "text"], ids=str
)
async def test_an_anchor_needs_an_issuer_that_starts_like_a_url(plane: Plane, body: Any) -> None:
    refused = await plane.ask("POST", ANCHORS, body)
    assert (refused.status, refused.json["code"]) == (400, "BODY_INVALID")


async def test_an_issuer_is_checked_for_its_beginning_only_and_other_spellings_are_dropped(plane: Plane) -> None:
    made = await anchor(plane, "http://", jwks_url="https://x")
    assert made["jwksUrl"] is None


async def test_a_label_over_128_characters_is_an_empty_500(plane: Plane) -> None:
    assert (await anchor(plane, label="x" * 128))["label"] == "x" * 128
    broken = await plane.ask("POST", ANCHORS, {"issuerUrl": "https://y", "label": "x" * 129})
    assert (broken.status, broken.body) == (500, b"")


async def test_a_patch_changes_urls_unchecked_clears_with_null_and_keeps_the_namespace(plane: Plane) -> None:
    made = await anchor(plane, jwksUrl="https://j", label="L", namespace="n")
    path = f"{ANCHORS}/{made['id']}"
    patched = (await plane.ask("PATCH", path, {"issuerUrl": "not a url", "jwksUrl": None, "namespace": "m"})).json
    assert (patched["issuerUrl"], patched["jwksUrl"], patched["label"], patched["namespace"]) == (
        "not a url", None, "L", "n",
    )  # fmt: skip
    assert "addedBy" not in patched
    ignored = (await plane.ask("PATCH", path, {"issuerUrl": None, "label": 5})).json
    assert (ignored["issuerUrl"], ignored["label"]) == ("not a url", "L")
    assert (await plane.ask("PATCH", path, raw="{")).json["code"] == "BODY_INVALID"


async def test_a_patch_that_clashes_or_names_no_uuid_is_an_empty_500(plane: Plane) -> None:
    await anchor(plane, "https://a")
    other = await anchor(plane, "https://b")
    for path in (f"{ANCHORS}/{other['id']}", f"{ANCHORS}/x"):
        broken = await plane.ask("PATCH", path, {"issuerUrl": "https://a"})
        assert (broken.status, broken.body) == (500, b"")
    assert (await plane.ask("PATCH", f"{ANCHORS}/{uuid4()}", {"label": "x"})).json["code"] == "NOT_FOUND"


async def test_an_anchor_is_deleted_once(plane: Plane) -> None:
    path = f"{ANCHORS}/{(await anchor(plane))['id']}"
    gone = await plane.ask("DELETE", path)
    assert (gone.status, gone.body) == (204, b"")
    assert (await plane.ask("DELETE", path)).status == 404
    assert (await plane.ask("GET", path)).status == 404


async def pin(plane: Plane, **fields: Any) -> Any:
    answer = await plane.ask("POST", PINS, {"aid": AID, "pubkey": KEY, **fields})
    assert answer.status == 201
    return answer.json


async def test_a_pin_is_replaced_with_201_and_loses_what_is_left_out(plane: Plane) -> None:
    first = await pin(plane, label="L", expiresAt="2020-01-01")
    assert (first["label"], first["expiresAt"], first["namespace"]) == ("L", "2020-01-01 00:00:00+00", "default")
    second = await pin(plane, pubkey="c" * 43)
    assert (second["label"], second["expiresAt"], second["pubkey"]) == (None, None, "c" * 43)
    assert second["createdAt"] == first["createdAt"]
    assert (await plane.ask("GET", PINS)).json == {"pinnedKeys": [second]}


async def test_an_expired_pin_is_listed_and_a_number_is_no_expiry(plane: Plane) -> None:
    await pin(plane, namespace="old", expiresAt="2020-01-01")
    assert (await pin(plane, namespace="new", expiresAt=1, expires_at="2020-01-01"))["expiresAt"] is None
    assert len((await plane.ask("GET", PINS)).json["pinnedKeys"]) == 2


@pytest.mark.parametrize("pubkey", ["b" * 42, "b" * 44, "b" * 42 + "=", "b" * 42 + "/", 5, None])
async def test_a_pinned_key_is_43_base64url_characters(plane: Plane, pubkey: Any) -> None:
    refused = await plane.ask("POST", PINS, {"aid": AID, "pubkey": pubkey})
    assert (refused.status, refused.json["code"]) == (400, "BODY_INVALID")


async def test_one_pin_is_shown_unwrapped_and_looked_for_in_the_default_namespace(plane: Plane) -> None:
    made = await pin(plane, namespace="n")
    assert (await plane.ask("GET", f"{PINS}?aid={AID}")).status == 404
    assert (await plane.ask("GET", f"{PINS}?aid={AID}&namespace=n")).json == made
    assert (await plane.ask("GET", f"{PINS}?namespace=m")).json == {"pinnedKeys": []}


async def test_a_pin_is_deleted_once_by_namespace_and_aid(plane: Plane) -> None:
    await pin(plane, namespace="n")
    assert (await plane.ask("DELETE", f"{PINS}?namespace=n")).status == 400
    assert (await plane.ask("DELETE", f"{PINS}?aid={AID}")).status == 404
    gone = await plane.ask("DELETE", f"{PINS}?aid={AID}&namespace=n")
    assert (gone.status, gone.body) == (204, b"")
    assert (await plane.ask("DELETE", f"{PINS}?aid={AID}&namespace=n")).status == 404


async def test_administration_is_audited_newest_first_without_saying_who(plane: Plane) -> None:
    made = await anchor(plane)
    await plane.ask("PATCH", f"{ANCHORS}/{made['id']}", {"label": "L"}, X_Request_Id="mine")
    await pin(plane)
    jti = str(uuid4())
    await plane.ask("POST", "/api/revocation/entries", {"jti": jti, "reason": "why"})
    await plane.ask("GET", ANCHORS)
    trail = (await plane.ask("GET", "/api/audit")).json
    assert [(entry["action"], entry["targetId"]) for entry in trail["entries"]] == [
        ("revocation.add", jti),
        ("pinned-key.upsert", AID),
        ("trust-anchor.update", made["id"]),
        ("trust-anchor.create", made["id"]),
    ]
    assert trail["count"] == 4
    assert trail["entries"][2]["requestId"] == "mine"
    assert trail["entries"][0]["details"] == {"reason": "why"}
    assert {entry["actorId"] for entry in trail["entries"]} == {None}
    page = (await plane.ask("GET", "/api/audit?limit=1&offset=1&action=x")).json
    assert [entry["action"] for entry in page["entries"]] == ["pinned-key.upsert"]


async def test_what_failed_is_not_in_the_audit_trail(plane: Plane) -> None:
    await anchor(plane)
    await plane.ask("POST", ANCHORS, {"issuerUrl": "https://idp.example/"})
    await plane.ask("PATCH", f"{ANCHORS}/{uuid4()}", {"label": "x"})
    assert (await plane.ask("GET", "/api/audit")).json["count"] == 1
