"""What the oracle finds: in recordings in which something was changed, and with agents that do what they must not."""

from __future__ import annotations

import contextlib
import copy
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aitp
import pytest
import pytest_asyncio

from tests.integration.scenarios.test_proofs import CONTROLS
from tests.support.controls import Control, step, with_agent
from tests.support.oracle import Contradiction, Document, Oracle
from tests.support.tapped import Tapped, judged, tapped

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAIN, GATE = "intra-org/delegation-chain@1.0.0", "intra-org/trust-gate@1.0.0"
BUNDLE, RENEWAL = "intra-org/session-bundle@1.0.0", "intra-org/tct-renewal@1.0.0"
LIST, MANIFEST = "/.well-known/aitp-revocation-list", "/.well-known/aitp-manifest"
HELLO, COMMIT, INITIATE = "/aitp/handshake/hello", "/aitp/handshake/commit", "/admin/initiate-handshake"
CALL, REDEEM, RENEW = "/capabilities/write.content", "/aitp/delegation/redeem", "/aitp/tct/renew"


def redeemed_twice(document: Document) -> None:
    """An answer may be lost: the delegatee redeems the same delegation once more."""
    steps = document["spec"]["workflow"]["steps"]
    again = {key: value for key, value in step(document, "redeem").items() if key != "expect"}
    steps.insert(steps.index(step(document, "redeem")) + 1, {**again, "id": "redeem_again"})


def redeemed_twice_for_two_tokens(document: Document) -> None:
    redeemed_twice(document)
    with_agent("writer", "doling-writer")(document)


AGAIN = Control("a delegation is redeemed twice", CHAIN, "", redeemed_twice)
LISTLESS = Control("the writer's list cannot be had", GATE, "establish_trust", with_agent("writer", "listless-writer"))
INCURIOUS = Control("the writer looks at no list", GATE, "", with_agent("writer", "incurious-writer"))
#: Agents that do what they must not, and what the oracle has to say of it.
DISHONEST: list[tuple[Control, str]] = [
    (
        Control("lists go back in time", GATE, "", with_agent("writer", "backdating-writer")),
        "older than the one before it",
    ),
    (
        Control("a delegation is good for two tokens", CHAIN, "", redeemed_twice_for_two_tokens),
        "token for a delegation that was redeemed before",
    ),
    (INCURIOUS, "answered 200.*the list of .* was not asked for"),
    (
        Control(
            "more is granted than was asked for",
            "intra-org/scoped-capabilities@1.0.0",
            "",
            with_agent("researcher", "lavish-researcher"),
        ),
        "granted and not requested: research.deep",
    ),
    (
        Control("a token is renewed for too long", RENEWAL, "", with_agent("writer", "lavish-writer")),
        "a renewed token lives 6000 s, not 5400 s",
    ),
]
#: The same of those that let a demonstration fail.
FAILING = {
    "the writer does not verify tokens": "answered 200.*no token",
    "the writer of the strict template does not verify tokens": "answered 200.*no token",
    "the writer honours its old key": "answered 200.*TCT_SIGNATURE_INVALID",
    "the writer refuses the handshake as something that its SDK lacks": "answered 501.*the oracle says yes",
    "the verifier asks no list": r"who is dropped: set\(\)",
    "the writer has another key for the issuer": "answered 400.*the oracle says yes",
    "the writer has another key for the issuer of a P-256 agent": "answered 400.*the oracle says yes",
}
#: Demonstrations that fail though every agent signs and decides as it should.
HONEST = [control for control in CONTROLS if control.name not in FAILING]
DISHONEST += [(control, FAILING[control.name]) for control in CONTROLS if control.name in FAILING]
assert len(DISHONEST) == 5 + len(FAILING)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alone(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tapped]:
    controls = [*(control for control, _ in DISHONEST), *HONEST, AGAIN, LISTLESS]
    async with tapped(tmp_path_factory.mktemp("findings"), controls) as found:
        yield found


@pytest.mark.parametrize(
    ("control", "why"), DISHONEST, ids=[control.name.replace(" ", "-") for control, _ in DISHONEST]
)
async def test_what_an_agent_does_wrong_is_contradicted(alone: Tapped, control: Control, why: str) -> None:
    outcome, messages = await alone.run(alone.refs[control.name])
    if control.name in FAILING:
        assert outcome.failed_step == control.at
    with pytest.raises(Contradiction, match=why):
        Oracle(messages).judge()


@pytest.mark.parametrize("control", HONEST, ids=lambda control: control.name.replace(" ", "-"))
async def test_nothing_is_found_where_only_a_demonstration_fails(alone: Tapped, control: Control) -> None:
    outcome, messages = await alone.run(alone.refs[control.name])
    assert outcome.failed_step == control.at
    judged(outcome, messages)


async def test_what_is_redeemed_twice_for_the_same_token_is_right(alone: Tapped) -> None:
    outcome, messages = await alone.run(alone.refs[AGAIN.name])
    assert outcome.status == "success", outcome.view.error
    assert judged(outcome, messages).seen["redemption granted"] == 2


async def test_a_handshake_is_rightly_refused_to_whose_list_cannot_be_had(alone: Tapped) -> None:
    outcome, messages = await alone.run(alone.refs[LISTLESS.name])
    assert outcome.failed_step == LISTLESS.at
    oracle = Oracle(messages)
    oracle.judge()
    assert (oracle.seen["commit granted"], oracle.seen["handshake refused"]) == (1, 1)


async def test_whoever_fails_open_has_looked_all_the_same(tmp_path: Path) -> None:
    async with tapped(tmp_path, [LISTLESS, INCURIOUS], issuer_list_fail_mode="fail_open") as agents:
        outcome, messages = await agents.run(agents.refs[LISTLESS.name])
        assert outcome.status == "success", outcome.view.error
        judged(outcome, messages)
        _, messages = await agents.run(agents.refs[INCURIOUS.name])
        with pytest.raises(Contradiction, match="was not asked for"):
            Oracle(messages).judge()


async def test_without_a_list_of_the_control_plane_nothing_is_served_that_must_not_be(tmp_path: Path) -> None:
    async with tapped(tmp_path, [AGAIN], revocation_fail_mode="fail_closed") as agents:
        _, messages = await agents.run(GATE)
        oracle = Oracle(copy.deepcopy(messages))
        oracle.judge()
        assert (oracle.seen["call granted"], oracle.seen["call refused"]) == (0, 2)
        where(messages, CALL, 403, last=True)["status"] = 200
        with pytest.raises(Contradiction, match=r"answered 200.*no fresh list of the Control Plane"):
            Oracle(messages).judge()


Edit = Callable[[list[Document]], None]


def where(messages: list[Document], path: str, status: int = 200, *, last: bool = False) -> Document:
    served = [one for one in messages if one["side"] == "served"]
    found = [one for one in served if one["path"].endswith(path) and one["status"] == status]
    return found[-1 if last else 0]


def told_of(messages: list[Document], served: Document) -> list[Document]:
    """All lines of one message, of both sides."""
    return [one for one in messages if one["id"] == served["id"]]


def changed(path: str, field: str, name: str, value: Any) -> Edit:
    """A member of a document, however deep, is another one than was signed."""

    def edit(messages: list[Document]) -> None:
        message = where(messages, path)
        document = json.loads(message[field])
        _set(document, name, value)
        message[field] = json.dumps(document)

    return edit


def _set(document: Any, name: str, value: Any) -> None:
    if isinstance(document, dict):
        if name in document:
            document[name] = value
        else:
            for member in document.values():
                _set(member, name, value)


def answered(path: str, status: int, instead: int) -> Edit:
    def edit(messages: list[Document]) -> None:
        where(messages, path, status)["status"] = instead

    return edit


def with_a_blot(path: str, find: Callable[[Document], str]) -> Edit:
    """Ten letters of the signature of a token that is in the open are other ones."""

    def edit(messages: list[Document]) -> None:
        message = where(messages, path)
        token = find(message)
        blotted = token[:-30] + ("A" * 10 if token[-30:-20] != "A" * 10 else "B" * 10) + token[-20:]
        for field in ("headers", "body", "answer"):
            text = json.dumps(message[field])
            message[field] = json.loads(text.replace(token, blotted))

    return edit


def unchallenged(messages: list[Document]) -> None:
    messages[:] = [one for one in messages if not one["path"].endswith("/aitp/pop/challenge")]


def asked_again(messages: list[Document]) -> None:
    """A call is recorded and sent once more."""
    call = where(messages, CALL)
    messages.append({**call, "at": messages[-1]["at"], "until": messages[-1]["until"]})


def given_another_key(messages: list[Document]) -> None:
    for message in messages:
        message["trusted"] = {issuer: [_other(key) for key in keys] for issuer, keys in message["trusted"].items()}


def _other(key: Document) -> Document:
    return {**key, "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


def with_something_else(messages: list[Document]) -> None:
    where(messages, "/aitp/pop/challenge")["answer"] = json.dumps({"promise": "to be good", "signature": "AAAA"})


def redeemed_for_another(messages: list[Document]) -> None:
    """What comes of a redemption is a token that was given to the delegator."""
    redeemed = where(messages, REDEEM)
    call = where(messages, CALL)
    commit = json.loads(where(messages, COMMIT)["answer"])
    assert call["at"] > redeemed["at"]
    document = json.loads(redeemed["answer"])
    _set(document, "tct", commit["payload"]["tct"])
    redeemed["answer"] = json.dumps(document)


def changed_bundle(messages: list[Document]) -> None:
    message = next(one for one in messages if one["side"] == "served" and '"session_bundle"' in one["answer"])
    changed(message["path"], "answer", "issued_at", 1)(messages)


DAMAGES: dict[str, tuple[str, Edit, str]] = {
    "manifest": (GATE, changed(MANIFEST, "answer", "display_name", "Somebody"), "MANIFEST_SIG"),
    "greeting": (GATE, changed("/hello", "body", "requested_grants", ["*"]), "INVALID_SIGNATURE"),
    "commit": (GATE, changed("/commit", "body", "pop_nonce_echo", "AAAA"), "INVALID_SIGNATURE"),
    "token": (GATE, with_a_blot(CALL, lambda call: call["headers"]["x-aitp-tct"]), "TCT_SIG"),
    "list": (GATE, changed(LIST, "answer", "expires_at", 9999999999), "SIGNATURE"),
    "delegation": (
        CHAIN,
        with_a_blot("/admin/delegate", lambda told: json.loads(told["answer"])["delegation_token"]),
        "DELEGATION_INVALID_SIGNATURE",
    ),
    "redemption": (CHAIN, redeemed_for_another, "holder of what was redeemed"),
    "bundle": (BUNDLE, changed_bundle, "BUNDLE_INVALID_SIGNATURE"),
    "issuer": ("intra-org/oidc-identity@1.0.0", given_another_key, "IDENTITY_FAILED"),
    "proof": (GATE, unchallenged, "answered 200.*POP_RESPONSE_INVALID"),
    "copy": (GATE, asked_again, "answered 200.*POP_RESPONSE_INVALID"),
    "granted": (GATE, answered(CALL, 403, 200), "answered 200.*no token"),
    "refused": (GATE, answered(CALL, 200, 403), "answered 403.*yes"),
    "unknown": (GATE, with_something_else, "of no kind that is known"),
}


def forgotten(messages: list[Document]) -> None:
    """The list that is fetched after the revocation is that of before it."""
    before, after = where(messages, LIST), where(messages, LIST, last=True)
    assert "jti" in after["answer"]
    assert "jti" not in before["answer"]
    writers = next(one for one in messages if one["side"] == "served" and one["agent"] == after["agent"])
    for line in told_of(messages, after):
        if line["side"] != "sent":
            line["answer"] = writers["list"]


def without_errands(messages: list[Document]) -> None:
    """Agents have done by themselves what the service told them to."""
    errands = ("/admin/invoke", "/admin/renew-tct", "/admin/redeem-delegation")
    messages[:] = [one for one in messages if one["path"] not in errands]


def by_itself(change: Edit) -> Edit:
    def edit(messages: list[Document]) -> None:
        without_errands(messages)
        change(messages)

    return edit


def without_side(path: str, *sides: str, last: bool = False) -> Edit:
    """Some lines of a message are gone."""

    def edit(messages: list[Document]) -> None:
        lines = told_of(messages, where(messages, path, last=last))
        assert {line["side"] for line in lines} == {"sent", "asked", "served"}
        messages[:] = [one for one in messages if one not in lines or one["side"] not in sides]

    return edit


def past_the_tap(path: str, client: str) -> Edit:
    """Whoever asked has not written it down, and its request bore no number."""

    def edit(messages: list[Document]) -> None:
        served = where(messages, path)
        without_side(path, "sent", "asked")(messages)
        served |= {"id": None, "client": client}

    return edit


def on_one_side(path: str, side: str, field: str) -> Edit:
    """A member of a document that nobody signs is another one on one side."""

    def edit(messages: list[Document]) -> None:
        [line] = [one for one in told_of(messages, where(messages, path)) if one["side"] == side]
        line[field] = json.dumps({**json.loads(line[field]), "topic": "another one"})

    return edit


def with_the_token_of_another(messages: list[Document]) -> None:
    """The agent that asked is another one than the one that was granted what it asked for."""
    other = next(one for one in messages if one["agent"] == "researcher")
    for line in told_of(messages, where(messages, CALL)):
        if line["side"] != "served":
            line |= {name: other[name] for name in ("agent", "aid", "aid_before", "port")}


def not_introduced(messages: list[Document]) -> None:
    for message in messages:
        if message["path"] == "/admin/peers":
            message["body"] = json.dumps({"peers": []})


def again(path: str, status: int = 200) -> Edit:
    """A stranger has recorded a message and sends it once more."""

    def edit(messages: list[Document]) -> None:
        first, end = where(messages, path), messages[-1]["until"]
        messages.append({**first, "at": end, "until": end, "id": None, "client": None, "status": status})

    return edit


def unlooked_at(path: str, *, last: bool = False) -> Edit:
    """Whoever did this errand had asked for no list before."""

    def edit(messages: list[Document]) -> None:
        errand = where(messages, path, last=last)
        asked = [one for one in messages if one["agent"] == errand["agent"] and one["side"] != "served"]
        gone = {one["id"] for one in asked if one["path"].endswith(LIST) and (not last or one["at"] > errand["at"])}
        assert gone
        messages[:] = [one for one in messages if one["id"] not in gone]

    return edit


def with_the_voucher_of_another_token(messages: list[Document]) -> None:
    renewed = where(messages, RENEW)
    voucher = json.loads(where(messages, COMMIT)["answer"])["payload"]["grant_voucher"]
    for line in told_of(messages, renewed):
        if line["side"] != "sent":
            line["answer"] = json.dumps(json.loads(line["answer"]) | {"grant_voucher": voucher})


def served_twice(messages: list[Document]) -> None:
    messages.append(dict(where(messages, MANIFEST)))


def of_no_participant(messages: list[Document]) -> None:
    exported = where(messages, "/admin/export-session-bundle")
    exported["answer"] = json.dumps({**json.loads(exported["answer"]), "participant_aids": []})


def no_longer_introduced(messages: list[Document]) -> None:
    """Before it redeems anything the writer is told of nobody but the delegatee."""
    redeemed = where(messages, REDEEM)
    told = next(one for one in messages if one["path"] == "/admin/peers" and one["agent"] == redeemed["agent"])
    peers = [peer for peer in json.loads(told["body"])["peers"] if peer["agent_id"] == "sub-researcher"]
    times = dict.fromkeys(("at", "until"), redeemed["at"] - 0.001)
    messages.append({**told, **times, "body": json.dumps({"peers": peers})})


def without_the_manifest_of_the_delegator(messages: list[Document]) -> None:
    redeemed = where(messages, REDEEM)
    own = [one for one in messages if one["agent"] == redeemed["agent"] and one["side"] != "served"]
    gone = {one["id"] for one in own if one["path"].endswith(MANIFEST)}
    assert gone
    messages[:] = [one for one in messages if one["id"] not in gone]


def with_a_late_commit(messages: list[Document]) -> None:
    """It comes when the greeting is no longer open."""
    for line in told_of(messages, where(messages, COMMIT)):
        line |= {name: line[name] + 61 for name in ("at", "until")}
    where(messages, INITIATE)["until"] += 62


def asked_with_no_object(messages: list[Document]) -> None:
    for line in told_of(messages, where(messages, CALL)):
        line["body"] = "[]"


def accepting_no_pinned_key(agent_id: str) -> Edit:
    def edit(messages: list[Document]) -> None:
        for message in messages:
            if message["agent"] == agent_id:
                message["rules"]["accepted_identity_types"] = ["oidc"]

    return edit


def acknowledged_by_another(messages: list[Document]) -> None:
    """Whom the caller was told to greet is not the one that has answered it."""
    for message in messages:
        if message["path"] == "/admin/peers" and message["agent"] == "caller":
            [peer] = json.loads(message["body"])["peers"]
            message["body"] = json.dumps({"peers": [{**peer, "aid": message["aid"]}]})


def told_to_ask_for_less(messages: list[Document]) -> None:
    told = where(messages, INITIATE)
    told["body"] = json.dumps({**json.loads(told["body"]), "requested_grants": ["research.query"]})


def failed_inside(messages: list[Document]) -> None:
    """Whoever shows no token is told what the capability says of its input."""
    told = json.dumps({"error": {"code": "invalid_request", "message": "topic: missing"}})
    for line in told_of(messages, where(messages, CALL, 403)):
        line |= {} if line["side"] == "sent" else {"status": 400, "answer": told}


DAMAGES |= {
    "served twice": (GATE, served_twice, "served more than once"),
    "bundle of others": (BUNDLE, of_no_participant, "answered 200.*no participant"),
    "delegator that is unknown": (CHAIN, no_longer_introduced, "answered 200.*unknown delegator"),
    "delegator without a manifest": (
        CHAIN,
        without_the_manifest_of_the_delegator,
        "answered 200.*manifest was not had",
    ),
    "no object": (GATE, asked_with_no_object, "answered 200.*no object"),
    "type of the initiator": (GATE, accepting_no_pinned_key("writer"), "hello.*answered 200.*INCOMPATIBLE_IDENTITY"),
    "type of the responder": (GATE, accepting_no_pinned_key("caller"), "initiate.*answered 200.*INCOMPATIBLE_IDENTITY"),
    "no commit": (GATE, without_side(COMMIT, "sent", "asked", "served"), "answered 200.*no commit was sent"),
    "late commit": (GATE, with_a_late_commit, "answered 200.*INVALID_ENVELOPE"),
    "request for more": (GATE, told_to_ask_for_less, "what is requested"),
    "another token": (GATE, changed(INITIATE, "answer", "jti", "another"), "the token that was taken"),
    "another responder": (GATE, acknowledged_by_another, "answered 200.*acknowledged by another"),
    "let in to fail": (GATE, failed_inside, "answered 400.*no token"),
    "unrevoked": (RENEWAL, forgotten, "no longer names"),
    "unserved call": (GATE, without_side(CALL, "served"), "writer has not written it down"),
    "unserved list": (BUNDLE, without_side(LIST, "served", last=True), "has not written it down"),
    "unserved manifest": (GATE, without_side(MANIFEST, "served"), "has not written it down"),
    "unasked call": (GATE, by_itself(without_side(CALL, "sent", "asked")), "no agent has written down"),
    "unasked list": (BUNDLE, without_side(LIST, "sent", "asked", last=True), "asked"),
    "unasked renewal": (RENEWAL, by_itself(without_side(RENEW, "sent", "asked")), "no agent has written down"),
    "unasked redemption": (CHAIN, by_itself(without_side(REDEEM, "sent", "asked")), "no agent has written"),
    "unasked hello": (GATE, without_side(HELLO, "sent", "asked"), "no manifest was seen"),
    "unasked commit": (GATE, without_side(COMMIT, "sent", "asked"), "no commit was sent"),
    "made-up call": (GATE, without_side(CALL, "sent", "asked", "served"), "nobody was asked"),
    "made-up token": (RENEWAL, without_side(RENEW, "sent", "asked", "served"), "nobody was asked"),
    "call past the tap": (GATE, by_itself(past_the_tap(CALL, "curl")), "no agent has written down that it asked"),
    "look past the tap": (GATE, past_the_tap(MANIFEST, "aitp-agent"), "no agent has written down that it asked"),
    "another body": (GATE, on_one_side(CALL, "asked", "body"), "body: "),
    "another answer": (GATE, on_one_side(CALL, "served", "answer"), "answer: "),
    "another agent": (CHAIN, by_itself(with_the_token_of_another), "who is another"),
    "greeting of a stranger": (GATE, not_introduced, "answered 200.*IDENTITY_FAILED"),
    "greeting once more": (GATE, again(HELLO), "answered 200.*REPLAY_DETECTED"),
    "commit once more": (GATE, again(COMMIT), "answered 200.*REPLAY_DETECTED"),
    "refused greeting": (GATE, answered(HELLO, 200, 400), "answered 400.*yes"),
    "refused commit": (GATE, answered(COMMIT, 200, 400), "answered 400.*yes"),
    "failed handshake": (GATE, answered(INITIATE, 200, 502), "answered 502.*yes"),
    "handshake without a list": (GATE, unlooked_at(INITIATE), "list of .* was not asked for"),
    "redemption without a list": (CHAIN, unlooked_at("/admin/redeem-delegation"), "list of .* was not asked for"),
    "bundle without a list": (BUNDLE, unlooked_at("/admin/verify-session-bundle", last=True), "was not asked for"),
    "voucher of a renewed token": (RENEWAL, with_the_voucher_of_another_token, "of a voucher"),
    "redemption once more": (CHAIN, again(REDEEM), "answered 200.*POP_RESPONSE_INVALID"),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_nothing_goes_by_the_oracle(alone: Tapped, damage: str) -> None:
    ref, edit, why = DAMAGES[damage]
    _, messages = await alone.run(ref)
    Oracle(copy.deepcopy(messages)).judge()
    edit(messages)
    with pytest.raises(Contradiction, match=why):
        Oracle(messages).judge()


async def test_what_neither_side_has_written_down_the_log_tells_of(alone: Tapped) -> None:
    outcome, messages = await alone.run(GATE)
    judged(outcome, copy.deepcopy(messages))
    without_side(CALL, "sent", "asked", "served")(messages)
    without_errands(messages)
    Oracle(copy.deepcopy(messages)).judge()
    with pytest.raises(AssertionError, match="not what the log tells of"):
        judged(outcome, messages)


@pytest.mark.parametrize("gone", [("asked",), ("asked", "served")], ids=["served", "not-served"])
async def test_what_was_cut_off_may_have_been_served_or_not(alone: Tapped, gone: tuple[str, ...]) -> None:
    _, messages = await alone.run(GATE)
    by_itself(without_side(CALL, *gone))(messages)
    oracle = Oracle(messages)
    oracle.judge()
    assert oracle.seen["cut off"] == 1


async def test_a_copy_that_is_refused_is_rightly_refused(alone: Tapped) -> None:
    _, messages = await alone.run(GATE)
    for path in (HELLO, COMMIT):
        again(path, 400)(messages)
    oracle = Oracle(messages)
    oracle.judge()
    assert (oracle.seen["greeting refused"], oracle.seen["commit refused"]) == (1, 1)


def expired(messages: list[Document]) -> Document:
    """The last call is made an hour later, when its token is over; and without a proof, which would be too old."""
    call = where(messages, CALL)
    for line in told_of(messages, call):
        line |= {name: line[name] + 3601 for name in ("at", "until")}
        del line["headers"]["x-aitp-pop-response"]
    return call


def _shown_instead(messages: list[Document], token: str) -> Document:
    call = where(messages, CALL)
    for line in told_of(messages, call):
        line["headers"] = {**line["headers"], "x-aitp-tct": token}
    return call


def of_the_other_agent(messages: list[Document]) -> Document:
    """What is shown is a token that the caller itself has issued."""
    commit = json.loads(where(messages, COMMIT)["body"])
    return _shown_instead(messages, commit["payload"]["tct"])


def of_a_stranger(messages: list[Document]) -> Document:
    """What is shown is a good token, of two agents that nobody here knows."""
    one, other = aitp.AitpAgent.generate(), aitp.AitpAgent.generate()
    for agent in (one, other):
        manifest = agent.build_manifest("a stranger", "http://localhost:1/aitp/handshake/", ["write.content"])
    greeting = one.new_session(pinned_keys=[other.aid])
    answering = other.new_responder(pinned_keys=[one.aid])
    ack, session = answering.process_hello(greeting.build_hello(manifest, ["write.content"]))
    commit, _ = answering.process_commit(greeting.process_hello_ack(ack, session), revoked_jtis=set())
    return _shown_instead(messages, json.loads(commit)["payload"]["tct"])


def broken(messages: list[Document]) -> Document:
    token = where(messages, CALL)["headers"]["x-aitp-tct"]
    return _shown_instead(messages, token[:-30] + "A" * 10 + token[-20:])


def no_token_at_all(messages: list[Document]) -> Document:
    return _shown_instead(messages, "eyJhIjoxfQ.eyJhIjoxfQ.AAAA")


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (expired, "TCT_EXPIRED"),
        (of_the_other_agent, "TCT_SIGNATURE_INVALID"),
        (of_a_stranger, "TCT_SIGNATURE_INVALID"),
        (broken, "TCT_SIGNATURE_INVALID"),
        (no_token_at_all, "TCT_SIGNATURE_INVALID"),
    ],
)
async def test_a_token_that_is_no_good_is_rightly_refused_and_wrongly_granted(
    alone: Tapped, edit: Callable[[list[Document]], Document], why: str
) -> None:
    _, messages = await alone.run(GATE)
    without_errands(messages)
    call = edit(messages)
    with pytest.raises(Contradiction, match=f"answered 200.*{why}"):
        Oracle(copy.deepcopy(messages)).judge()
    for line in told_of(messages, call):
        line["status"] = None if line["side"] == "sent" else 403
    oracle = Oracle(messages)
    oracle.judge()
    assert (oracle.seen["call granted"], oracle.seen["call refused"]) == (0, 2)


@pytest.mark.parametrize(("age", "is_found"), [(0, True), (25 * 3600, False)], ids=["alive", "expired"])
async def test_a_control_plane_that_forgets_a_live_entry_is_found(age: int, is_found: bool) -> None:
    """An entry may go when its token has expired for certain (RFC-AITP-0008, section 4.1)."""
    signer, now = aitp.AitpAgent.generate(), time.time()
    entry = {"jti": "4f0c1d5e-3b1a-4c56-9a53-0d5fd6d4a1b2", "revoked_at": int(now) - age}
    lists = [signer.sign_revocation_list(entries) for entries in ([entry], [])]
    messages = [_fetched(answer, now + number) for number, answer in enumerate(lists, start=1)]
    with pytest.raises(Contradiction, match="no longer names") if is_found else contextlib.nullcontext():
        Oracle(messages, {signer.aid}).judge()


def _fetched(answer: str, at: float) -> Document:
    aid = "aid:pubkey:of-the-writer"
    who = {"side": "asked", "agent": "writer", "aid": aid, "aid_before": aid}
    what = {"id": str(at), "port": 1, "method": "GET", "path": f"https://cp.example{LIST}", "headers": {}, "body": ""}
    return {**who, **what, "at": at, "until": at, "status": 200, "answer_headers": {}, "answer": answer}
