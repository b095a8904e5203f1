"""What the service changes at the Control Plane: batches, revocations, webhooks, anchors, pins."""

from __future__ import annotations

import uuid
from typing import Any

import aitp
import pytest

from aitp_playground.cp_client import Batch, BatchFate

from . import rogue as ways
from .conftest import MakeClient
from .operations import AGENT, ANCHOR, HOOK, JTI, KEY
from .rogue import Rogue, in_turn, refusing, says

ANCHORS = "/api/trust-anchors"
EVENTS: list[dict[str, Any]] = [{"type": "a", "payload": {"é": "😀"}}, {"type": "b"}]


# -- events


async def test_a_batch_is_one_post_with_the_key_of_its_sender(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = says({"ingested": 2})
    assert await make_client(rogue.url).ingest_events(EVENTS, idempotency_key="k-1") == BatchFate("stored", 2)
    (seen,) = rogue.seen
    assert (seen.method, seen.raw_path, seen.json) == ("POST", "/api/events", {"events": EVENTS})
    assert (seen.headers["Idempotency-Key"], seen.headers["Content-Type"]) == ("k-1", "application/json")


async def test_stored_bytes_are_sent_as_they_are(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = says({"ingested": 1})
    body = b'{ "events" : [ {"type":"x"} ] }'
    assert (await make_client(rogue.url).ingest_events(Batch(body, 1))).fate == "stored"
    assert rogue.seen[0].body == body


@pytest.mark.parametrize(
    ("answer", "fate"),
    [
        ({"ingested": 0}, "not_stored"),
        ({"ingested": 1}, "unknown"),
        ({"ingested": 3}, "unknown"),
        ({"ingested": True}, "unknown"),
        ({}, "unknown"),
    ],
)
async def test_only_the_whole_count_is_a_success(answer: Any, fate: Any, rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = says(answer)
    outcome = await make_client(rogue.url).ingest_events.outcome(EVENTS)
    assert (outcome.value, outcome.reason) == (BatchFate(fate), "bad_shape")


async def test_a_dropped_connection_leaves_the_fate_open(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = ways.hangs_up
    outcome = await make_client(rogue.url).ingest_events.outcome(EVENTS)
    assert (outcome.value.fate, outcome.reason, len(rogue.seen)) == ("unknown", "truncated", 1)


async def test_what_the_breaker_held_back_was_not_stored(make_client: MakeClient) -> None:
    with refusing() as url:
        client = make_client(url)
        outcomes = [await client.ingest_events.outcome(EVENTS) for _ in range(3)]
    assert [(one.value.fate, one.reason) for one in outcomes[1:]] == [
        ("not_stored", "refused"),
        ("not_stored", "breaker_open"),
    ]


async def test_an_empty_batch_is_stored_without_a_call(rogue: Rogue, make_client: MakeClient) -> None:
    assert (await make_client(rogue.url).ingest_events([])).fate == "stored"
    assert rogue.asked == []


# -- revocations


@pytest.mark.parametrize(
    "jti",
    [
        str(uuid.UUID(int=0, version=1)),
        str(uuid.uuid5(uuid.NAMESPACE_DNS, "x")),
        "01932c07-209c-7c9a-8b7e-000000000000",
        JTI.replace("-", ""),
        f"{{{JTI}}}",
        f"{JTI}\n",
        JTI.replace("8351", "c351"),
        "",
    ],
)
async def test_a_jti_that_would_spoil_the_list_is_never_sent(jti: str, rogue: Rogue, make_client: MakeClient) -> None:
    outcome = await make_client(rogue.url).publish_revocation.outcome(jti)
    assert (outcome.value, outcome.reason, rogue.asked) == (False, "bad_shape", [])


async def test_a_revocation_goes_out_in_lower_case_under_a_key_of_its_content(
    rogue: Rogue, make_client: MakeClient
) -> None:
    rogue.behaviour = says({"jti": JTI}, 201)
    client = make_client(rogue.url)
    assert await client.publish_revocation(JTI.upper(), "x" * 600)
    assert await client.publish_revocation(JTI, "x" * 600)
    assert await client.publish_revocation(JTI)
    assert [seen.json for seen in rogue.seen[1:]] == [{"jti": JTI, "reason": "x" * 500}, {"jti": JTI}]
    keys = [seen.headers["Idempotency-Key"] for seen in rogue.seen]
    assert keys[0] == keys[1] != keys[2]
    assert max(map(len, keys)) <= 255


async def test_an_answer_about_another_jti_is_no_publication(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = says({"jti": HOOK}, 201)
    outcome = await make_client(rogue.url).publish_revocation.outcome(JTI)
    assert (outcome.value, outcome.reason) == (False, "bad_shape")


# -- webhooks


async def test_a_refused_webhook_is_a_normal_answer(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = says({"code": "URL_NOT_ALLOWED"}, 400)
    outcome = await make_client(rogue.url).create_webhook.outcome("http://127.0.0.1/x", ["tct.revoked"], "s3cret")
    assert (outcome.value, outcome.reason, outcome.status) == (None, "http_4xx", 400)


@pytest.mark.parametrize("row", [{}, {"id": 5}, {"id": ""}, {"id": ".."}])
async def test_a_webhook_without_an_id_that_could_be_deleted_is_none(
    row: Any, rogue: Rogue, make_client: MakeClient
) -> None:
    rogue.behaviour = says(row, 201)
    assert (await make_client(rogue.url).create_webhook.outcome("http://h/x", [], "s")).reason == "bad_shape"


async def test_a_webhook_is_deleted_by_its_id_as_one_path_segment(rogue: Rogue, make_client: MakeClient) -> None:
    assert await make_client(rogue.url).delete_webhook("a/../b")
    assert rogue.asked == ["DELETE /api/webhooks/a%2F..%2Fb"]


# -- trust anchors


async def upsert(client: Any, **given: Any) -> Any:
    return await client.upsert_trust_anchor.outcome("https://idp.example", **given)


async def test_a_new_anchor_is_looked_for_and_then_posted(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.route("GET", ANCHORS, says({"trustAnchors": [{**ANCHOR, "issuerUrl": "https://idp.example/"}]}))
    rogue.route("POST", ANCHORS, says(ANCHOR, 201))
    outcome = await upsert(make_client(rogue.url), jwks_url="https://idp.example/jwks")
    assert (outcome.value, outcome.reason) == (ANCHOR, None)
    assert [(one.method, one.raw_path) for one in rogue.seen] == [
        ("GET", f"{ANCHORS}?namespace=default"),
        ("POST", ANCHORS),
    ]
    assert rogue.seen[1].json == {
        "issuerUrl": "https://idp.example",
        "namespace": "default",
        "jwksUrl": "https://idp.example/jwks",
    }
    assert "Idempotency-Key" not in rogue.seen[1].headers, "a deleted anchor could not be made again for a week"


async def test_a_known_anchor_is_patched_where_it_differs(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.route("GET", ANCHORS, says({"trustAnchors": [{**ANCHOR, "label": "old", "addedBy": "me"}]}))
    patched = {**ANCHOR, "label": "new"}
    rogue.route("PATCH", f"{ANCHORS}/{ANCHOR['id']}", says(patched))
    outcome = await upsert(make_client(rogue.url), label="new")
    assert outcome.value == {**patched, "addedBy": "me"}
    assert rogue.asked[-1] == f"PATCH {ANCHORS}/{ANCHOR['id']}"
    assert rogue.seen[-1].json == {"label": "new"}


async def test_a_known_anchor_that_is_as_wanted_is_left_alone(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.route("GET", ANCHORS, says({"trustAnchors": [{**ANCHOR, "label": "as wanted", "jwksUrl": "https://kept"}]}))
    outcome = await upsert(make_client(rogue.url), label="as wanted")
    assert (outcome.value["jwksUrl"], rogue.asked) == ("https://kept", [f"GET {ANCHORS}"])


async def test_an_anchor_of_another_namespace_is_another(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.route("GET", ANCHORS, says({"trustAnchors": [{**ANCHOR, "namespace": "pack"}]}))
    rogue.route("POST", ANCHORS, says(ANCHOR, 201))
    await upsert(make_client(rogue.url))
    assert rogue.asked == [f"GET {ANCHORS}", f"POST {ANCHORS}"]


@pytest.mark.parametrize("conflict", [says(b"", 500), says({"code": "ALREADY_EXISTS"}, 409)])
async def test_a_lost_race_ends_in_a_patch(conflict: Any, rogue: Rogue, make_client: MakeClient) -> None:
    rogue.route("GET", ANCHORS, in_turn(says({"trustAnchors": []}), says({"trustAnchors": [ANCHOR]})))
    rogue.route("POST", ANCHORS, conflict)
    rogue.route("PATCH", f"{ANCHORS}/{ANCHOR['id']}", says({**ANCHOR, "label": "mine"}))
    outcome = await upsert(make_client(rogue.url), label="mine")
    assert (outcome.value["label"], outcome.reason) == ("mine", None)
    assert [line.split()[0] for line in rogue.asked] == ["GET", "POST", "GET", "PATCH"]


async def test_a_500_that_was_no_conflict_stays_one(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.route("GET", ANCHORS, says({"trustAnchors": []}))
    rogue.route("POST", ANCHORS, says(b"", 500))
    outcome = await upsert(make_client(rogue.url))
    assert (outcome.value, outcome.reason, outcome.status) == (None, "http_5xx", 500)
    assert [line.split()[0] for line in rogue.asked] == ["GET", "POST", "GET"]


async def test_a_400_is_not_asked_about_again(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.route("GET", ANCHORS, says({"trustAnchors": []}))
    rogue.route("POST", ANCHORS, says({"code": "BODY_INVALID"}, 400))
    assert (await upsert(make_client(rogue.url))).reason == "http_4xx"
    assert len(rogue.asked) == 2


async def test_a_label_too_long_for_its_column_is_not_sent(rogue: Rogue, make_client: MakeClient) -> None:
    client = make_client(rogue.url)
    assert (await upsert(client, label="x" * 129)).reason == "bad_shape"
    assert (await client.upsert_pinned_key.outcome(AGENT.aid, KEY, label="x" * 129)).reason == "bad_shape"
    assert rogue.asked == []


# -- pinned keys


async def test_a_key_is_pinned_with_its_expiry_as_text(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = says({"aid": AGENT.aid, "pubkey": KEY}, 201)
    assert await make_client(rogue.url).upsert_pinned_key(AGENT.aid, KEY, namespace="ns", expires_at=0)
    assert rogue.seen[0].json == {
        "aid": AGENT.aid,
        "pubkey": KEY,
        "namespace": "ns",
        "expiresAt": "1970-01-01T00:00:00.000Z",
    }


P256 = aitp.AitpAgent.from_seed(b"p" * 32, "p256").aid
FOREIGN = aitp.AitpAgent.from_seed(b"f" * 32).aid.removeprefix("aid:pubkey:")


@pytest.mark.parametrize(
    ("aid", "key", "why"),
    [
        (AGENT.aid, FOREIGN, "not the one the AID names"),
        (AGENT.aid, f"{KEY}=", "43 characters"),
        (AGENT.aid, KEY[:-1], "43 characters"),
        ("aid:pubkey:" + "+" * 43, "+" * 43, "43 characters"),
        (P256, P256.removeprefix("aid:pubkey:p256:"), "P-256"),
    ],
)
async def test_a_key_that_is_not_the_aids_own_is_refused_with_the_reason(
    aid: str, key: str, why: str, rogue: Rogue, make_client: MakeClient
) -> None:
    outcome = await make_client(rogue.url).upsert_pinned_key.outcome(aid, key)
    assert (outcome.value, outcome.reason, rogue.asked) == (None, "bad_shape", [])
    assert why in outcome.detail


async def test_an_answer_with_another_key_is_no_pin(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = says({"aid": AGENT.aid, "pubkey": FOREIGN}, 201)
    assert (await make_client(rogue.url).upsert_pinned_key.outcome(AGENT.aid, KEY)).reason == "bad_shape"
