"""Pinned keys: one row per namespace and AID, replaced by the next."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.agents import Agent
from tests.contract.wire import POSTGRES_TIME, ControlPlane

PATH = "/api/pinned-keys"
KEY = "k" * 43


async def pinned(cp: ControlPlane, namespace: str | None, aid: str, **fields: Any) -> dict[str, Any]:
    body = {"aid": aid, "pubkey": KEY, **fields} | ({} if namespace is None else {"namespace": namespace})
    made: dict[str, Any] = (await cp.post(PATH, body)).json(201)
    return made


async def test_a_pin_is_told_back_with_who_added_it(cp: ControlPlane, unique: str) -> None:
    agent = Agent(unique)
    key = agent.aid.rpartition(":")[2]

    made = await pinned(cp, unique, agent.aid, pubkey=key, label="L", expiresAt="2020-01-01")

    assert (await cp.get(PATH, namespace=unique)).json() == {"pinnedKeys": [made]}
    assert made.pop("addedBy").startswith("apikey:")
    assert POSTGRES_TIME.fullmatch(made.pop("createdAt"))
    assert POSTGRES_TIME.fullmatch(made.pop("updatedAt"))
    assert made == {
        "namespace": unique,
        "aid": agent.aid,
        "pubkey": key,
        "label": "L",
        "expiresAt": "2020-01-01 00:00:00+00",
    }


async def test_pinning_again_replaces_and_clears_what_is_not_named(cp: ControlPlane, unique: str) -> None:
    await pinned(cp, unique, unique, label="L", expiresAt="2020-01-01")
    again = await pinned(cp, unique, unique, pubkey="z" * 43)

    assert (again["pubkey"], again["label"], again["expiresAt"]) == ("z" * 43, None, None)
    assert len((await cp.get(PATH, namespace=unique)).json()["pinnedKeys"]) == 1


@pytest.mark.parametrize("expiry", [{"expiresAt": 1577836800}, {"expires_at": "2020-01-01"}], ids=str)
async def test_an_expiry_in_other_words_is_ignored(cp: ControlPlane, unique: str, expiry: dict[str, Any]) -> None:
    assert (await pinned(cp, unique, unique, **expiry))["expiresAt"] is None


@pytest.mark.parametrize("pubkey", ["k" * 42, "k" * 44, "k" * 42 + "=", "k" * 42 + "+", None, 7], ids=str)
async def test_a_key_is_exactly_43_letters_of_base64url(cp: ControlPlane, unique: str, pubkey: Any) -> None:
    assert (await cp.post(PATH, {"namespace": unique, "aid": unique, "pubkey": pubkey})).refusal()[0] == 400


async def test_a_p256_key_cannot_be_pinned(cp: ControlPlane, unique: str) -> None:
    agent = Agent(unique, suite="p256")

    answer = await cp.post(PATH, {"namespace": unique, "aid": agent.aid, "pubkey": agent.aid.rpartition(":")[2]})

    assert answer.refusal()[0] == 400


async def test_a_foreign_key_is_pinned_under_a_real_aid(cp: ControlPlane, unique: str) -> None:
    assert (await pinned(cp, unique, Agent(unique).aid))["pubkey"] == KEY


async def test_with_an_aid_the_row_itself_is_answered(cp: ControlPlane, unique: str) -> None:
    made = await pinned(cp, unique, unique)

    assert (await cp.get(PATH, namespace=unique, aid=unique)).json() == made
    assert (await cp.get(PATH, namespace=unique, aid="other")).refusal()[0] == 404


async def test_with_an_aid_alone_the_namespace_is_default(cp: ControlPlane, unique: str) -> None:
    await pinned(cp, unique, unique)
    assert (await cp.get(PATH, aid=unique)).refusal()[0] == 404

    made = await pinned(cp, None, unique)
    assert made["namespace"] == "default"
    assert (await cp.get(PATH, aid=unique)).json() == made

    rows = (await cp.get(PATH)).json()["pinnedKeys"]
    assert {row["namespace"] for row in rows if row["aid"] == unique} == {unique, "default"}
    assert (await cp.delete(PATH, aid=unique)).status == 204


async def test_a_pin_is_deleted_once(cp: ControlPlane, unique: str) -> None:
    await pinned(cp, unique, unique)

    gone = await cp.delete(PATH, namespace=unique, aid=unique)
    assert (gone.status, gone.body) == (204, b"")
    assert (await cp.delete(PATH, namespace=unique, aid=unique)).refusal()[0] == 404
    assert (await cp.delete(PATH, namespace=unique)).refusal()[0] == 400
