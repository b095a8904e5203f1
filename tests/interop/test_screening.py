"""Whom ours greets at all, and which of two manifests it believes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from tests.interop import hello_rows
from tests.interop.conftest import Meeting, Room
from tests.interop.foreign import manifests
from tests.interop.foreign.client import Style
from tests.interop.rows import Row, parameters

pytestmark = pytest.mark.asyncio(loop_scope="module")
requirement = pytest.mark.requirement
every_style = pytest.mark.parametrize("style", ["rfc", "binding"])


async def is_not_greeted(met: Meeting, *codes: str) -> dict[str, Any]:
    """Ours reports a failure, with one of these codes, and has posted nothing."""
    answer = await met.shake(direction="both")
    assert (answer.status, answer.body["error"]["code"]) == (502, "peer_failed"), answer
    assert not met.server.received
    details: dict[str, Any] = answer.body["error"]["details"]
    if codes:
        assert details["code"] in codes
    return details


@requirement("RFC-AITP-0003 5", "nobody is greeted whose manifest does not accept the kind of identity that is shown")
@every_style
@pytest.mark.parametrize("accepted", [["oidc"], ["spiffe"], [], None], ids=["oidc", "spiffe", "none", "unsaid"])
async def test_identities_that_are_not_accepted(room: Room, style: Style, accepted: list[str] | None) -> None:
    async with room.meeting(style) as met:
        met.foreign.publish(accepted_identity_types=accepted)
        await is_not_greeted(met, "INCOMPATIBLE_IDENTITY_TYPE")
        met.foreign.publish(accepted_identity_types=["oidc", "pinned_key"])
        assert (await met.shake()).status == 200


@requirement("RFC-AITP-0003 3.2", "nobody is greeted who does not read the algorithm that is signed with")
async def test_algorithms_that_are_not_accepted(room: Room) -> None:
    async with room.meeting() as met:
        met.foreign.publish(accepted_signature_algorithms=["p256"])
        await is_not_greeted(met)


OF_MANIFESTS = ("half an endpoint", "a name of 200 characters", "a number for capabilities")
MANIFESTS = [
    row
    for row in hello_rows.GREETINGS
    if ("manifest" in row.name and row.name != "no manifest") or row.name in OF_MANIFESTS
]


@requirement("RFC-AITP-0003 5", "a manifest that does not verify is not used")
@pytest.mark.parametrize("row", parameters(MANIFESTS))
async def test_manifests_that_do_not_verify(room: Room, row: Row) -> None:
    async with room.meeting() as met:
        envelope: dict[str, Any] = {"payload": {}}
        row.signed(met.foreign, envelope)
        met.server.conduct.manifest = lambda: web.json_response({"manifest": envelope["payload"]["manifest"]})
        await is_not_greeted(met)
        met.server.conduct.manifest = None
        assert (await met.shake()).status == 200


@requirement("RFC-AITP-0003 5", "at an agent's address its own manifest is expected")
async def test_another_agents_manifest(room: Room) -> None:
    async with room.meeting() as met:
        other = room.stranger()
        other.endpoint = met.foreign.endpoint
        met.server.conduct.manifest = lambda: web.json_response({"manifest": other.manifest()})
        await is_not_greeted(met)


def answers(met: Meeting) -> dict[str, Callable[[], web.StreamResponse]]:
    document = {"manifest": met.foreign.manifest()}
    padded = document | {"more": "x" * (8 << 20)}
    return {
        "the inner object alone": lambda: web.json_response(met.foreign.manifest()),
        "a redirection": lambda: web.Response(status=302, headers={"Location": f"{met.foreign.base_url}/elsewhere"}),
        "HTML": lambda: web.Response(text=str(document), content_type="text/html"),
        "eight MiB": lambda: web.json_response(padded),
        "an error": lambda: web.json_response(document, status=500),
        "nothing": lambda: web.Response(content_type="application/json"),
        "a list": lambda: web.json_response([]),
    }


@requirement("RFC-AITP-0003 4.1", "a manifest is a JSON document of one member, at its address")
@pytest.mark.parametrize(
    "what", ["the inner object alone", "a redirection", "HTML", "eight MiB", "an error", "nothing", "a list"]
)
async def test_what_is_no_manifest_document(room: Room, what: str) -> None:
    async with room.meeting() as met:
        met.server.conduct.manifest = answers(met)[what]
        await is_not_greeted(met)


@requirement("RFC-AITP-0003 4.3", "of two manifests the one that was published later counts")
async def test_an_older_manifest_in_the_message_does_not_win(room: Room) -> None:
    """What the newer one no longer offers cannot be granted by showing the older one."""
    async with room.meeting() as met:
        now = met.foreign.now()
        older = met.foreign.manifest(published_at=now - 5000)
        newer = met.foreign.manifest(offered_capabilities=["far.look"])
        met.server.conduct.manifest = lambda: web.json_response({"manifest": newer})
        met.foreign.published = older
        met.server.conduct.grant = lambda responder: met.foreign.mint(responder.peer, ["far.touch"])
        answer = await met.shake(requested_grants=["far.look", "far.touch"])
        assert (answer.status, answer.body["error"]["details"]["code"]) == (502, "GRANT_OVERFLOW"), answer


@requirement("RFC-AITP-0003 4.3", "of two manifests the one that was published later counts")
async def test_a_newer_manifest_in_the_message_counts(room: Room) -> None:
    """What only the newer one offers can be granted."""
    async with room.meeting() as met:
        older = met.foreign.manifest(published_at=met.foreign.now() - 100, offered_capabilities=["far.look"])
        met.server.conduct.manifest = lambda: web.json_response({"manifest": older})
        answer = await met.shake(requested_grants=["far.look", "far.touch"])
        assert answer.status == 200, answer
        assert answer.body["received"]["grants"] == ["far.look", "far.touch"]


@requirement("RFC-AITP-0003 3", "the published manifest is complete, verifies, and says how long it may be kept")
async def test_our_own_manifest(room: Room) -> None:
    client = await room.client()
    reply = await client.get(manifests.WELL_KNOWN)
    assert reply.headers["content-type"].partition(";")[0] == "application/json"
    manifest = manifests.read(reply.body, room.ours.aid, client.agent.now())
    assert manifest["identity_hint"]["type"] == "pinned_key"
    assert manifest["identity_hint"]["public_key"] == room.ours.aid.rpartition(":")[2]
    assert "proof" not in manifest["identity_hint"]
    assert len(manifest["proof_of_possession"]["challenge"]) == 22
    assert manifest["published_at"] <= client.agent.now() < manifest["expires_at"]
    assert manifests.LIST_URI in manifest["extensions"]
    directives = dict(part.strip().partition("=")[::2] for part in reply.headers["cache-control"].split(","))
    assert 0 < int(directives["max-age"]) <= manifest["expires_at"] - client.agent.now() + 1
