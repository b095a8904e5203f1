"""Tokens and manifests over time, which needs a clock that can be moved."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest

from tests.unit.control_plane.asking import Plane, manifest


async def test_a_token_dies_after_300_seconds(plane: Plane) -> None:
    _, text = manifest()
    early, late = await plane.enroll(text), await plane.enroll(text)
    plane.skip(298)
    assert (await plane.register(text, early)).status == 201
    plane.skip(3)
    refused = await plane.register(text, late)
    assert (refused.status, refused.json["code"]) == (401, "TOKEN_INVALID")


async def test_a_manifest_must_have_301_seconds_left_on_the_services_clock(plane: Plane) -> None:
    _, text = manifest(ttl=1000)
    plane.skip(690)
    assert (await plane.ask("POST", "/api/registry/enroll", raw=text)).status == 200
    plane.skip(15)
    refused = await plane.ask("POST", "/api/registry/enroll", raw=text)
    assert (refused.status, refused.json["code"]) == (400, "MANIFEST_INVALID")


async def test_a_token_stays_good_and_a_spent_one_spent_across_restarts(start: Any, tmp_path: Path) -> None:
    database = str(tmp_path / "cp.db")
    _, text = manifest()
    first = await start(database=database)
    spent, unspent = await first.enroll(text), await first.enroll(text)
    assert (await first.register(text, spent)).status == 201
    again = await start(database=database)
    assert (await again.register(text, spent)).json["code"] == "TOKEN_REPLAYED"
    assert (await again.register(text, unspent)).status == 201


async def test_a_token_of_another_control_plane_is_refused(start: Any) -> None:
    _, text = manifest()
    here, there = await start(), await start()
    assert (await here.register(text, await there.enroll(text))).json["code"] == "TOKEN_INVALID"


@pytest.mark.parametrize("forge", ["aid", "mac", "latin"])
async def test_a_token_that_was_tampered_with_is_refused(plane: Plane, forge: str) -> None:
    aid, text = manifest()
    other, _ = manifest()
    content, _, mac = (await plane.enroll(text)).partition(".")
    if forge == "aid":
        plain = urlsafe_b64decode(content + "=" * (-len(content) % 4)).replace(aid.encode(), other.encode())
        content = urlsafe_b64encode(plain).rstrip(b"=").decode()
    elif forge == "mac":
        mac = ("A" if mac[0] != "A" else "B") + mac[1:]
    else:
        mac = "é" + mac
    assert (await plane.register(text, f"{content}.{mac}")).json["code"] == "TOKEN_INVALID"


async def test_spent_tokens_are_forgotten_once_they_would_be_too_old_anyway(plane: Plane) -> None:
    _, text = manifest()
    assert (await plane.register(text, await plane.enroll(text))).status == 201
    plane.skip(301)
    assert (await plane.register(text, await plane.enroll(text))).status == 201
    kept = await plane.service.db.read(lambda conn: conn.execute("SELECT count(*) FROM spent_tokens").fetchone()[0])
    assert kept == 1


async def test_an_expired_manifest_is_refused_at_registration_and_costs_the_token(plane: Plane) -> None:
    _, text = manifest()
    token = await plane.enroll(text)
    envelope = json.loads(text)
    envelope["manifest"]["expires_at"] = 1
    assert (await plane.register(json.dumps(envelope), token)).json["code"] == "MANIFEST_EXPIRED"
    assert (await plane.register(text, token)).json["code"] == "TOKEN_REPLAYED"


async def test_a_registration_without_endpoint_breaks_and_costs_the_token(plane: Plane) -> None:
    _, text = manifest()
    token = await plane.enroll(text)
    envelope = json.loads(text)
    del envelope["manifest"]["handshake_endpoint"]
    broken = await plane.register(json.dumps(envelope), token)
    assert (broken.status, broken.body) == (500, b"")
    assert (await plane.register(text, token)).json["code"] == "TOKEN_REPLAYED"


async def test_the_namespace_comes_from_the_header_else_from_the_manifests_extension(plane: Plane) -> None:
    aid, text = manifest()
    envelope = json.loads(text)
    envelope["manifest"]["extensions"] = {"namespace": "extended"}
    extended = json.dumps(envelope)
    for headers, expected in (({}, "extended"), ({"X_Aitp_Namespace": "header"}, "header")):
        await plane.register(extended, await plane.enroll(text), **headers)
        (listed,) = (await plane.ask("GET", f"/api/registry/agents?aid={aid}")).json["agents"]
        assert listed["namespace"] == expected


async def test_a_null_registration_breaks_the_service_and_leaves_the_token_good(plane: Plane) -> None:
    _, text = manifest()
    token = await plane.enroll(text)
    broken = await plane.register("null", token)
    assert (broken.status, broken.body) == (500, b"")
    unparsed = await plane.register("{", token)
    assert (unparsed.status, unparsed.json["code"]) == (400, "BODY_INVALID")
    assert unparsed.json["error"] != "body must be JSON", "the registry has words of its own"
    assert (await plane.register(text, token)).status == 201


async def test_what_an_agent_did_is_told_with_its_aid(plane: Plane) -> None:
    aid, text = manifest()
    await plane.register(text, await plane.enroll(text))
    await plane.ask("DELETE", f"/api/registry/agents/{aid}")
    told = (await plane.ask("GET", f"/api/events/history?aid={aid}")).json["events"]
    assert sorted((event["type"], event["aidA"], event["runId"]) for event in told) == [
        ("agent.deregistered", aid, None),
        ("agent.registered", aid, None),
    ]
    assert {event["source"] for event in told} == {"cp"}
    assert not any("aid" in event["payload"] for event in told)
    assert (await plane.ask("DELETE", "/api/registry/agents/aid:pubkey:nobody")).status == 404
