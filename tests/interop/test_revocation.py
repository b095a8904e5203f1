"""What one side revokes the other learns, and what is on no list that can be had is not relied on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from aitp_verifier.errors import AitpError
from aitp_verifier.jcs import canonicalize
from aitp_verifier.revocation import verify_snapshot_trust

from tests.interop.conftest import Meet, Meeting, Room
from tests.interop.foreign.client import Style
from tests.interop.foreign.keys import Key
from tests.interop.foreign.manifests import LIST_URI
from tests.interop.foreign.tokens import claims_of
from tests.interop.test_malformed_hellos import check_refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")
requirement = pytest.mark.requirement
every_style = pytest.mark.parametrize("style", ["rfc", "binding"])
OTHER = Key()


# --- ours revokes


@requirement("RFC-AITP-0008 1.1", "a token that its issuer revoked is refused, and others are not")
@every_style
async def test_what_ours_revokes_is_refused(room: Room, style: Style) -> None:
    async with room.meeting(style) as met, room.meeting(style, beside=[met.foreign]) as other:
        for client in (met.client, other.client):
            await client.shake(["demo.echo"])
            assert (await client.call("demo.echo")).status == 200
        answer = await room.ours.admin("revoke-tct", {"audience": met.foreign.agent_id})
        assert answer.body["revoked_jti"] == met.foreign.held[room.ours.aid].jti
        refused = await met.client.call("demo.echo")
        assert (refused.status, met.client.told(refused).code) == (403, "TCT_REVOKED")
        assert (await other.client.call("demo.echo")).status == 200
        assert await met.client.denied() >= {answer.body["revoked_jti"]}
        await met.client.shake(["demo.echo"])
        assert (await met.client.call("demo.echo")).status == 200


@requirement("RFC-AITP-0008 1.5", "a list is signed over its body, and nothing of it can be left out")
async def test_our_list_verifies(room: Room) -> None:
    async with room.meeting() as met:
        await met.client.shake(["demo.echo"])
        await room.ours.admin("revoke-tct", {"audience": met.foreign.agent_id})
        where = (await met.client.manifest())["extensions"][LIST_URI]
        snapshot = (await met.client.get(where)).body
        assert snapshot.keys() == {"revocation_list", "signature"}
        body = verify_snapshot_trust(snapshot)
        assert body["issuer"] == room.ours.aid
        assert all(entry.keys() >= {"jti", "revoked_at"} for entry in body["entries"])
        shorter = {**body, "entries": body["entries"][1:]}
        with pytest.raises(AitpError):
            verify_snapshot_trust({**snapshot, "revocation_list": shorter})


@requirement("RFC-AITP-0008 1.4", "an issuer advertises its list and serves it even when it is empty")
@pytest.mark.asyncio(loop_scope="function")
async def test_an_empty_list_is_signed_too(meet: Meet) -> None:
    met = await meet()
    assert await met.client.denied() == set()


# --- the other side revokes


async def sees(met: Meeting, jti: str) -> dict[str, Any]:
    """What ours knows after it asked for the foreign agent's list."""
    asked = {"from": "issuer", "peer": met.foreign.agent_id, "jti": jti}
    answer = await met.ours.admin("refresh-revocations", asked)
    assert answer.status == 200, answer
    body: dict[str, Any] = answer.body
    return body


@requirement("RFC-AITP-0008 1.4", "a peer's list is fetched from where its manifest says")
@every_style
async def test_ours_reads_the_list_that_a_peer_advertises(room: Room, style: Style) -> None:
    async with room.meeting(style) as met:
        answer = await met.shake()
        jti = answer.body["received"]["jti"]
        assert (await sees(met, jti))["sees_jti"] is False
        met.foreign.revoke(jti)
        newer = met.foreign.revocation_list(published_at=met.foreign.now() + 1)
        met.server.conduct.revocations = lambda: web.json_response(newer)
        assert (await sees(met, jti))["sees_jti"] is True
        refused = await met.invoke("far.look")
        assert refused.body["status_code"] == 403


Spoil = Callable[[Meeting], dict[str, Any]]


def body(**changes: Any) -> Spoil:
    """A list with other members, signed; None leaves one out."""

    def make(met: Meeting) -> dict[str, Any]:
        given = met.foreign.revocation_list()["revocation_list"] | changes
        given = {name: value for name, value in given.items() if value is not None}
        return {"revocation_list": given, "signature": met.foreign.key.sign(canonicalize(given))}

    return make


def at(published: int, expires: int) -> Spoil:
    def make(met: Meeting) -> dict[str, Any]:
        now = met.foreign.now()
        return body(published_at=now + published, expires_at=now + expires)(met)

    return make


def entry(**members: Any) -> Spoil:
    return body(entries=[members])


def tampered(met: Meeting) -> dict[str, Any]:
    given = met.foreign.revocation_list()
    given["revocation_list"]["expires_at"] += 1
    return given


def by_another_key(met: Meeting) -> dict[str, Any]:
    given = met.foreign.revocation_list()
    return {**given, "signature": OTHER.sign(canonicalize(given["revocation_list"]))}


def a_second_wrapper(met: Meeting) -> dict[str, Any]:
    return met.foreign.revocation_list() | {"more": 1}


_JTI = "3a9badd8-d149-412b-bfe8-5da133cba247"
_TRUST = ("0008 1.5", "a list counts only if it is well formed and its issuer signed it")
_TIME = ("0008 1.5", "a list counts only in its time")
BAD: list[tuple[str, tuple[str, str], Spoil, set[str]]] = [
    ("an unknown member", _TRUST, body(more=1), {"unknown_field"}),
    ("an unknown member beside it", _TRUST, a_second_wrapper, {"unknown_field", "malformed"}),
    ("an unknown member of an entry", _TRUST, entry(jti=_JTI, revoked_at=1, more=1), {"unknown_field"}),
    ("no date", _TRUST, body(published_at=None), {"malformed"}),
    ("a date in words", _TRUST, body(published_at="today"), {"malformed"}),
    ("a date beyond all numbers", _TRUST, body(published_at=10**300), {"malformed", "from_the_future"}),
    ("no entries", _TRUST, body(entries=None), {"malformed"}),
    ("an entry without an id", _TRUST, entry(revoked_at=1), {"malformed"}),
    ("tampered with", _TRUST, tampered, {"signature_invalid"}),
    ("signed by another key", _TRUST, by_another_key, {"signature_invalid"}),
    ("of another issuer", _TRUST, body(issuer=OTHER.aid), {"issuer_mismatch"}),
    ("of the previous version", _TRUST, body(version="aitp/0.2"), {"version_unknown"}),
    ("expired", _TIME, at(-600, -300), {"expired"}),
    ("from the future", _TIME, at(600, 900), {"from_the_future"}),
]


@pytest.mark.parametrize(
    ("spoil", "causes"),
    [
        pytest.param(spoil, causes, id=name, marks=requirement(f"RFC-AITP-{row[0]}", row[1]))
        for name, row, spoil, causes in BAD
    ],
)
async def test_bad_lists_are_discarded(room: Room, spoil: Spoil, causes: set[str]) -> None:
    """A discarded list is as good as none: the token that it is about is not relied on."""
    async with room.meeting() as met:
        met.server.conduct.revocations = lambda: web.json_response(spoil(met))
        answer = await met.shake(direction="both")
        assert answer.status in (403, 502), answer
        assert any(cause in answer.body["error"]["message"] for cause in causes), answer
        held = await met.invoke("far.look")
        assert (held.status, held.body["error"]["code"]) == (409, "no_tct_held")
        met.server.conduct.revocations = None
        assert (await met.shake(direction="both")).status == 200


@requirement("RFC-AITP-0001 7", "what is unknown inside extensions, and any reason, is no harm")
@pytest.mark.parametrize(
    "spoil",
    [body(extensions={"com.example.x": 1}), entry(jti=_JTI, revoked_at=1, reason="ignore")],
    ids=["extensions", "a reason"],
)
async def test_unusual_lists_are_taken(room: Room, spoil: Spoil) -> None:
    async with room.meeting() as met:
        met.server.conduct.revocations = lambda: web.json_response(spoil(met))
        assert (await met.shake(direction="both")).status == 200
        assert met.server.list_asked == 1


@requirement("RFC-AITP-0008 1.5", "an older list does not take back what a newer one said")
async def test_an_older_list_does_not_win(room: Room) -> None:
    async with room.meeting() as met:
        older = at(-60, 240)(met)
        met.foreign.revoke(_JTI)
        assert (await sees(met, _JTI))["sees_jti"] is True
        met.server.conduct.revocations = lambda: web.json_response(older)
        found = await sees(met, _JTI)
        assert (found["sees_jti"], found["cause"]) == (True, "rolled_back")


# --- lists and handshakes


DEAD: dict[str, Callable[[], web.StreamResponse]] = {
    "an error": lambda: web.Response(status=503),
    "no JSON": lambda: web.Response(text="<p>", content_type="text/html"),
    "a list of nobody": lambda: web.json_response({}),
}


@requirement("RFC-AITP-0008 3.1", "without the list that a peer advertises its token is not relied on")
@pytest.mark.parametrize("how", DEAD)
async def test_ours_takes_no_token_whose_list_cannot_be_had(room: Room, how: str) -> None:
    async with room.meeting() as met:
        met.server.conduct.revocations = DEAD[how]
        answer = await met.shake(direction="both")
        assert answer.status in (403, 502), answer
        held = await met.invoke("far.look")
        assert (held.status, held.body["error"]["code"]) == (409, "no_tct_held")
        for token in met.server.tokens:
            assert (await met.client.call("demo.echo", tct=token)).status == 403
        met.server.conduct.revocations = None
        assert (await met.shake(direction="both")).status == 200


@requirement("RFC-AITP-0008 3.1", "without the list that a peer advertises its token is not relied on")
@every_style
@pytest.mark.parametrize("how", DEAD)
async def test_ours_answers_no_commit_whose_list_cannot_be_had(room: Room, style: Style, how: str) -> None:
    async with room.meeting(style) as met:
        met.server.conduct.revocations = DEAD[how]
        initiator = await met.client.greet(["demo.echo"])
        reply = await met.client.send_commit(initiator, initiator.commit())
        check_refusal(met.client, reply, frozenset({"TCT_REVOKED"}))
        met.server.conduct.revocations = None
        await met.client.shake(["demo.echo"])


@requirement("RFC-AITP-0008 3.3", "a token that its issuer's list denies is refused in the handshake")
@every_style
async def test_a_token_that_is_revoked_already(room: Room, style: Style) -> None:
    async with room.meeting(style) as met:
        given = met.foreign.mint(room.ours.aid, ["far.look"])
        met.foreign.revoke(given.jti)
        met.server.conduct.grant = lambda _responder: given
        answer = await met.shake(direction="both")
        assert (answer.status, answer.body["error"]["details"]["code"]) == (502, "TCT_REVOKED"), answer
        initiator = await met.client.greet(["demo.echo"])
        reply = await met.client.send_commit(initiator, initiator.commit(grant=given))
        check_refusal(met.client, reply, frozenset({"TCT_REVOKED"}))


@requirement("RFC-AITP-0008 1.4", "a peer that advertises no list is gone on with")
@every_style
async def test_a_peer_without_a_list(room: Room, style: Style) -> None:
    async with room.meeting(style) as met:
        met.foreign.publish(extensions=None)
        assert (await met.shake(direction="both")).status == 200
        await met.client.shake(["demo.echo"])
        assert met.server.list_asked == 0


@requirement("RFC-AITP-0008 3.1", "an agent that fails open goes on without a list")
@pytest.mark.asyncio(loop_scope="function")
async def test_an_agent_that_fails_open(meet: Meet) -> None:
    policy = {"fail_mode": "fail_open", "max_staleness_secs": 300, "poll_secs": 60, "issuer_fail_mode": "fail_open"}
    met = await meet(revocation=policy)
    met.server.conduct.revocations = DEAD["an error"]
    assert (await met.shake(direction="both")).status == 200
    grant = await met.client.shake(["demo.echo"])
    assert claims_of(grant.tct)["grants"] == ["demo.echo"]


@requirement("RFC-AITP-0008 3.3", "nobody's list is asked for a token that does not verify")
async def test_no_list_is_asked_for_a_forged_token(room: Room) -> None:
    async with room.meeting() as met:
        await met.client.shake(["demo.echo"])
        asked = met.server.list_asked
        forged = met.foreign.key.token("aitp-tct+jwt", met.foreign.held[room.ours.aid].claims)
        assert (await met.client.call("demo.echo", tct=forged)).status == 403
        assert met.server.list_asked == asked
