"""Delegations as reports make them, and the walk down from one."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.contract.agents import Agent
from tests.contract.wire import ControlPlane

V7 = "01920000-0000-7000-8000-000000000000"


def decoded(token: str) -> dict[str, Any]:
    """The claims of a compact JWS, unverified."""
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def handshake() -> tuple[Agent, Agent, dict[str, Any]]:
    """An initiator, its responder, and what the initiator holds afterwards: real tokens."""
    one, other = Agent("one", "demo.one"), Agent("other", "demo.b")
    one.manifest()
    manifest = other.manifest()
    session, responder = one.keys.new_session(pinned_keys=[other.aid]), other.keys.new_responder(pinned_keys=[one.aid])
    ack, session_id = responder.process_hello(session.build_hello(manifest, ["demo.b"]))
    commit_ack, _ = responder.process_commit(session.process_hello_ack(ack, session_id), revoked_jtis=set())
    held: dict[str, Any] = json.loads(session.complete(commit_ack, revoked_jtis=set()))
    return one, other, held


def synthetic(token: str) -> str:
    """The jti that is made up for a token without one: version 5 in form, SHA-1 of the token in substance."""
    return str(UUID(bytes=hashlib.sha1(f"aitp-delegation:{token}".encode()).digest()[:16], version=5))


async def of(cp: ControlPlane, delegator: str, **query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await cp.get("/api/delegations", delegator=delegator, **query)).json()["delegations"]
    return rows


def flat(unique: str, **changes: Any) -> dict[str, Any]:
    """A delegation told field by field."""
    whole = {
        "jti": str(UUID(unique)),
        "parent_jti": str(uuid4()),
        "delegator_aid": f"from-{unique}",
        "delegatee_aid": f"to-{unique}",
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


@pytest.mark.parametrize("key", ["delegation", "tct"])
async def test_a_real_token_with_its_claims_is_projected_under_a_jti_made_from_it(cp: ControlPlane, key: str) -> None:
    one, _, held = handshake()
    delegatee = Agent("third").aid
    token = one.keys.build_delegation(held["grant_voucher"], delegatee, ["demo.b"], ttl_secs=600)
    event = {"type": "delegation.issued", "payload": {key: {"token": token, "claims": decoded(token)}}}
    await cp.ingest(event, event)

    (row,) = await of(cp, one.aid)

    assert row.pop("issuedAt")
    assert row.pop("expiresAt")
    assert row == {
        "jti": synthetic(token),
        "parentJti": decoded(held["tct"])["jti"],
        "delegator": one.aid,
        "delegatee": delegatee,
        "scope": ["demo.b"],
        "revoked": False,
        "revokedAt": None,
        "revokedReason": None,
    }


Shape = Callable[[str, dict[str, Any], str], dict[str, Any]]
SHAPES: dict[str, tuple[Shape, bool]] = {
    "claims without token": (lambda token, claims, jti: {"delegation": {"claims": claims}}, False),
    "token alone": (lambda token, claims, jti: {"delegation": {"token": token}}, False),
    "token with empty claims": (lambda token, claims, jti: {"delegation": {"token": token, "claims": {}}}, False),
    "payload is the claims": (lambda token, claims, jti: claims, False),
    "payload has token and claims": (lambda token, claims, jti: {"token": token, "claims": claims}, False),
    "claims beside a jti": (lambda token, claims, jti: {"delegation": {"claims": claims}, "jti": jti}, True),
    "claims without voucher beside both jtis": (
        lambda token, claims, jti: {
            "delegation": {"claims": {**claims, "voucher": None}},
            "jti": jti,
            "parent_jti": jti,
        },
        True,
    ),
}


@pytest.mark.parametrize("shape", list(SHAPES))
async def test_a_shape_is_projected_or_not(cp: ControlPlane, shape: str) -> None:
    one, _, held = handshake()
    token = one.keys.build_delegation(held["grant_voucher"], Agent("third").aid, ["demo.b"])
    build, projected = SHAPES[shape]
    await cp.ingest({"type": "delegation.issued", "payload": build(token, decoded(token), str(uuid4()))})

    assert bool(await of(cp, one.aid)) is projected


@pytest.mark.parametrize(
    ("parent", "delegator", "delegatee"),
    [("parent_jti", "delegator_aid", "delegatee_aid"), ("parentJti", "delegator", "delegatee")],
)
@pytest.mark.parametrize("level", ["payload", "event"])
async def test_fields_without_claims_are_projected(
    cp: ControlPlane, unique: str, level: str, parent: str, delegator: str, delegatee: str
) -> None:
    up = str(uuid4())
    fields = {"jti": str(UUID(unique)), parent: up, delegator: f"from-{unique}", delegatee: f"to-{unique}"}
    await cp.ingest({"type": "delegation.issued", **({"payload": fields} if level == "payload" else fields)})

    (row,) = await of(cp, f"from-{unique}")
    assert (row["jti"], row["parentJti"], row["delegatee"]) == (str(UUID(unique)), up, f"to-{unique}")
    assert row["expiresAt"] is None


async def test_an_expiry_among_fields_counts_when_it_is_a_number(cp: ControlPlane, unique: str) -> None:
    await cp.ingest({"type": "delegation.issued", "payload": flat(unique, expires_at=4102444800)})

    assert [row["expiresAt"] for row in await of(cp, f"from-{unique}")] == ["2100-01-01 00:00:00+00"]


@pytest.mark.parametrize("missing", ["jti", "parent_jti", "delegatee_aid"])
async def test_a_delegation_that_lacks_something_is_silently_left_out(
    cp: ControlPlane, unique: str, missing: str
) -> None:
    await cp.ingest({"type": "delegation.issued", "payload": flat(unique, **{missing: None})})

    assert await of(cp, f"from-{unique}") == []


async def test_a_version_7_jti_is_left_out(cp: ControlPlane, unique: str) -> None:
    await cp.ingest({"type": "delegation.issued", "payload": flat(unique, jti=V7)})

    assert await of(cp, f"from-{unique}") == []


async def test_the_events_own_sides_are_no_delegator_and_delegatee(cp: ControlPlane, unique: str) -> None:
    payload = flat(unique, delegator_aid=None, delegatee_aid=None)
    event = {"type": "delegation.issued", "aid_a": f"from-{unique}", "aid_b": f"to-{unique}", "payload": payload}
    await cp.ingest(event)

    assert await of(cp, f"from-{unique}") == []


async def test_a_tct_beside_a_delegation_hides_it(cp: ControlPlane) -> None:
    one, _, held = handshake()
    token = one.keys.build_delegation(held["grant_voucher"], Agent("third").aid, ["demo.b"])
    tct = {"token": held["tct"], "claims": decoded(held["tct"])}
    delegation = {"token": token, "claims": decoded(token)}
    await cp.ingest({"type": "delegation.issued", "payload": {"tct": tct, "delegation": delegation}})

    assert await of(cp, one.aid) == []


@pytest.mark.parametrize("event_type", ["delegation.created", "delegation.redeemed"])
async def test_other_events_project_no_delegation(cp: ControlPlane, unique: str, event_type: str) -> None:
    await cp.ingest({"type": event_type, "payload": flat(unique)})

    assert await of(cp, f"from-{unique}") == []


async def chain(cp: ControlPlane, unique: str) -> tuple[str, list[str]]:
    """A TCT's jti, and those of three delegations, each under the one before."""
    top, *jtis = (str(uuid4()) for _ in range(4))
    for parent, jti in zip([top, *jtis], jtis, strict=False):
        await cp.ingest({"type": "delegation.issued", "payload": flat(unique, jti=jti, parent_jti=parent)})
    return top, jtis


@pytest.mark.parametrize("name", ["root_jti", "rootJti"])
async def test_a_walk_starts_at_a_delegation_and_holds_its_root(cp: ControlPlane, unique: str, name: str) -> None:
    _, jtis = await chain(cp, unique)

    rows = (await cp.get("/api/delegations", **{name: jtis[0]}, limit="1", delegator="x")).json()["delegations"]

    assert [row["jti"] for row in rows] == jtis


async def test_a_walk_from_a_tct_finds_nothing_but_its_children_are_found(cp: ControlPlane, unique: str) -> None:
    top, jtis = await chain(cp, unique)

    assert (await cp.get("/api/delegations", root_jti=top)).json() == {"delegations": []}
    for name in ("parent_jti", "parentJti"):
        rows = (await cp.get("/api/delegations", **{name: top})).json()["delegations"]
        assert [row["jti"] for row in rows] == jtis[:1]


async def test_a_walk_from_no_uuid_is_refused(cp: ControlPlane) -> None:
    assert (await cp.get("/api/delegations", root_jti="x")).refusal() == (400, "BAD_REQUEST")


async def test_filters_by_side_and_activity(cp: ControlPlane, unique: str) -> None:
    await cp.ingest(
        {"type": "delegation.issued", "payload": flat(unique, expires_at=1795362600)},
        {"type": "delegation.issued", "payload": flat(unique, jti=str(uuid4()))},
    )

    rows = (await cp.get("/api/delegations", delegatee=f"to-{unique}")).json()["delegations"]
    assert len(rows) == 2
    assert len(await of(cp, f"from-{unique}", active="true")) == 1
    assert len(await of(cp, f"from-{unique}", jti=V7)) == 2


async def test_a_delegation_revoked_by_an_event_takes_its_descendants_with_it(cp: ControlPlane, unique: str) -> None:
    _, jtis = await chain(cp, unique)
    await cp.ingest({"type": "delegation.revoked", "payload": {"jti": jtis[1]}})

    rows = {row["jti"]: row for row in await of(cp, f"from-{unique}")}

    assert [rows[jti]["revoked"] for jti in jtis] == [False, True, True]
    assert [rows[jti]["revokedReason"] for jti in jtis] == [None, "explicit", "parent_revoked"]


async def test_what_the_payload_names_goes_before_the_claims(cp: ControlPlane, unique: str) -> None:
    claims = {"iss": f"iss-{unique}", "sub": f"sub-{unique}", "scope": ["demo.b"]}
    names = {"delegator": "researcher", "delegatee": "sub-researcher"}
    told = flat(unique, delegator_aid=None, delegatee_aid=None, delegation={"claims": claims}, **names)
    await cp.ingest({"type": "delegation.issued", "payload": told})

    assert await of(cp, f"iss-{unique}") == []
    assert (await cp.get("/api/delegations", delegatee=f"sub-{unique}")).json()["delegations"] == []
    rows = (await cp.get("/api/delegations", parent_jti=told["parent_jti"])).json()["delegations"]
    assert [(row["delegator"], row["delegatee"]) for row in rows] == [("researcher", "sub-researcher")]


async def test_the_aids_of_the_payload_go_before_its_other_names(cp: ControlPlane, unique: str) -> None:
    told = flat(unique, delegator="researcher", delegatee="sub-researcher", delegation={"claims": {"sub": "x"}})
    await cp.ingest({"type": "delegation.issued", "payload": told})

    assert [row["delegatee"] for row in await of(cp, f"from-{unique}")] == [f"to-{unique}"]


@pytest.mark.parametrize(
    "spelt",
    [
        lambda jti, up: {"child_jti": jti, "parent_jti": up},
        lambda jti, up: {"jti": jti, "src_jti": up},
        lambda jti, up: {"jti": jti, "chain": [str(uuid4()), up]},
        lambda jti, up: {"delegation": {"claims": {"jti": jti, "src_jti": up}}},
    ],
    ids=["child_jti", "src_jti", "chain", "in the claims"],
)
async def test_other_names_of_a_delegation_and_its_parent_are_read(cp: ControlPlane, unique: str, spelt: Any) -> None:
    up = str(uuid4())
    told = flat(unique, jti=None, parent_jti=None) | spelt(str(UUID(unique)), up)
    await cp.ingest({"type": "delegation.issued", "payload": told})

    assert [(row["jti"], row["parentJti"]) for row in await of(cp, f"from-{unique}")] == [(str(UUID(unique)), up)]


async def test_claims_at_the_top_are_read_when_they_hold_a_jti(cp: ControlPlane, unique: str) -> None:
    one, _, held = handshake()
    token = one.keys.build_delegation(held["grant_voucher"], Agent("third").aid, ["demo.b"])
    await cp.ingest({"type": "delegation.issued", "payload": {**decoded(token), "jti": str(UUID(unique))}})

    assert [row["parentJti"] for row in await of(cp, one.aid)] == [decoded(held["tct"])["jti"]]


@pytest.mark.parametrize("name", ["scope", "grants"])
async def test_of_a_mixed_scope_the_texts_are_kept(cp: ControlPlane, unique: str, name: str) -> None:
    await cp.ingest({"type": "delegation.issued", "payload": flat(unique, **{name: ["demo.a", 7, None, "demo.b"]})})

    assert [row["scope"] for row in await of(cp, f"from-{unique}")] == [["demo.a", "demo.b"]]
