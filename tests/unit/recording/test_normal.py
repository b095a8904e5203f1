"""Two runs in which the same happened have equal normal forms, whatever their ids are, however they were scheduled."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitp_playground.errors import PayloadTooLarge
from aitp_playground.events.vocabulary import TYPES, spec
from aitp_playground.recording import normal
from aitp_playground.recording.comparing import compared
from aitp_playground.recording.documents import to_lines
from aitp_playground.recording.form import Given
from aitp_playground.recording.normal import Log, given_in, normal_form
from tests.support.made_logs import REF, Event, MadeLog, made_log

ROOT = Path(__file__).resolve().parents[3]
seeds = st.integers(0, 2**32)


def text_of(log: MadeLog, *, volatile: bool = False) -> str:
    return b"".join(to_lines(log.form(volatile=volatile))).decode()


@given(seeds, seeds)
def test_other_ids_keys_ports_and_times_make_no_difference_nor_does_the_schedule(seed: int, schedule: int) -> None:
    assert made_log(seed, schedule).form() == made_log().form()
    assert text_of(made_log(seed, schedule)) == text_of(made_log())


@given(seeds)
def test_nothing_that_differs_from_run_to_run_is_left(seed: int) -> None:
    log = made_log(seed)
    text = text_of(log)
    assert [secret for secret in log.secrets if secret in text] == []


@given(seeds, seeds)
def test_with_what_may_as_well_not_have_come_it_is_the_same_too(seed: int, schedule: int) -> None:
    assert made_log(seed, schedule).form(volatile=True) == made_log().form(volatile=True)
    assert "llm.complete" in text_of(made_log(), volatile=True)
    assert "llm.complete" not in text_of(made_log())


@pytest.mark.parametrize(
    "name",
    [
        "<aid:researcher>",
        "<port:writer>",
        "<jti:handshake/writer/researcher>",
        "<session:handshake/analyst/writer>",
        "<jkt:writer>",
        "<token:delegate/delegation_token>",
    ],
)
def test_values_are_called_after_whose_they_are(name: str) -> None:
    assert name in text_of(made_log())


def test_the_key_after_a_rotation_has_a_name_of_its_own() -> None:
    assert '{"new_aid":"<aid:writer/2>","old_aid":"<aid:writer>"}' in text_of(made_log())


def test_a_token_that_is_bounded_by_another_lives_as_long_as_was_meant() -> None:
    assert '"exp":"<+600s>"' in text_of(made_log())
    assert '"exp":"<+3600s>"' in text_of(made_log())


def test_the_end_of_a_life_that_was_asked_for_is_told_exactly() -> None:
    def shorter(events: list[Event]) -> None:
        for event in events:
            for token in event.get("payload", {}).get("tcts", ()):
                token["exp"] -= 1

    assert '"exp":"<+3599s>"' in text_of(made_log().changed(shorter))


def test_a_value_is_found_inside_of_sentences_and_deep_in_an_output() -> None:
    log = made_log()
    aid, port = log.secrets[1], log.secrets[-1]
    deep = {
        "a": [{"b": f"({aid}), at 127.0.0.1:{port}; run {log.given.run_id} of {log.given.run_id.replace('-', '')}"}]
    }
    text = text_of(log.changed(lambda events: events[log.find("step.complete", step_id="call")].update(result=deep)))
    assert '{"a":[{"b":"(<aid:analyst>), at 127.0.0.1:<port:writer>; run <run> of <run>"}]}' in text


def test_an_aid_with_its_tag_is_the_same_agents() -> None:
    log = made_log()
    aid = log.secrets[1].replace("aid:pubkey:", "aid:pubkey:ed25519:")
    text = text_of(log.changed(lambda events: events[log.find("step.complete", step_id="call")].update(result=[aid])))
    assert '"output":["<aid:analyst>"]' in text


def test_another_process_writes_the_same_bytes() -> None:
    """The order in which Python's sets are gone through is another in each."""
    code = (
        "from tests.support.made_logs import made_log; from aitp_playground.recording.documents import to_lines;"
        "print(b''.join(to_lines(made_log(3, 4).form(volatile=True))).decode(), end='')"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert told == {text_of(made_log(3, 4), volatile=True).encode()}


def test_what_nothing_made_is_called_after_its_place() -> None:
    result = {"x": "3f0c1f6e-0000-4000-8000-000000000001", "y": "aid:pubkey:unknown0", "z": "127.0.0.1:4444"}
    log = made_log()
    text = text_of(log.changed(lambda events: events[log.find("step.complete", step_id="call")].update(result=result)))
    assert '{"x":"<uuid:call/x>","y":"<aid:call/y>","z":"127.0.0.1:<port:other>"}' in text


def test_what_the_run_was_given_keeps_its_value() -> None:
    mine = "3f0c1f6e-0000-4000-8000-000000000001"
    log = made_log()
    log.given = Given(run_id=log.given.run_id, ref=REF, inputs={"topic": f"about {mine}"}, faults={})
    place = log.find("step.complete", step_id="call")
    text = text_of(log.changed(lambda events: events[place].update(result={"title": mine})))
    assert f'"output":{{"title":"{mine}"}}' in text


def test_a_worker_may_tell_of_seconds_and_of_other_times() -> None:
    result = {"seconds": 5, "ms": 7, "year": "1999-12-31T00:00:00Z", "big": 12345678901}
    log = made_log()
    text = text_of(log.changed(lambda events: events[log.find("step.complete", step_id="call")].update(result=result)))
    assert '{"big":12345678901,"ms":7,"seconds":5,"year":"1999-12-31T00:00:00Z"}' in text


def test_times_of_the_run_are_gone_whoever_tells_them() -> None:
    log = made_log()
    result = {"now": int(log.began) + 1, "text": f"at {int(log.began)}", "seq": "the nearest, seq 12, has none"}
    text = text_of(log.changed(lambda events: events[log.find("step.complete", step_id="call")].update(result=result)))
    assert '{"now":"<time>","seq":"the nearest, seq <seq>, has none","text":"at <time>"}' in text


def test_a_measured_time_is_gone_from_the_sentence_that_tells_it() -> None:
    log = made_log()
    place = log.find("capability.denied")

    def measured(events: list[Event]) -> None:
        events[place] |= {"error": "issued 17 seconds from now", "payload": {"code": "clock_skew", "seconds": 17}}

    text = text_of(log.changed(measured))
    assert '"error":"issued <duration> seconds from now","payload":{"code":"clock_skew","seconds":"<duration>"}' in text


def test_what_follows_the_end_is_left_out() -> None:
    log = made_log()
    late = {"type": "cp.webhook.unsubscribed", "source_url": "https://cp.example"}
    assert log.changed(lambda events: events.append(late)).form(volatile=True) == log.form(volatile=True)


def test_a_poll_is_left_out_and_a_look_at_a_peers_list_is_not() -> None:
    log = made_log()
    poll: Event = {"type": "revocation.list_fetched", "agent_id": "writer", "payload": {"count": 3, "issuer": "cp"}}
    look = copy.deepcopy(poll)
    look["payload"] |= {"peer": "analyst", "issuer": log.secrets[1]}
    assert log.changed(lambda events: events.insert(20, poll)).form() == log.form()
    looked = log.changed(lambda events: events.insert(20, look)).form()
    assert any(told.type == "revocation.list_fetched" for told in looked.sections[0].events)
    polled = log.changed(lambda events: events.insert(20, poll)).form(volatile=True)
    assert b"count" not in next(told.body for told in polled.sections[0].events if told.type.startswith("revocation"))


def test_the_order_of_one_emitter_in_one_step_is_its_own() -> None:
    log = made_log()
    first, second = log.find("step.probing_no_trust"), log.find("step.access_denied")

    def swapped(events: list[Event]) -> None:
        events[first], events[second] = events[second], events[first]

    assert log.changed(swapped).form() != log.form()


def test_causes_come_before_consequences_whatever_the_log_says() -> None:
    for schedule in range(20):
        outside = made_log(1, schedule).form().sections[0].events
        at: dict[str, int] = {}
        for place, told in enumerate(outside):
            if told.type == "agent.ready":
                at[told.peer] = place
            elif "initiator" in told.fields():
                assert at[told.fields()["initiator"]] < place
                assert at[told.fields()["target"]] < place
            if told.type == "handshake.answered":
                at[told.fields()["jti"]] = place
            if told.type == "trust.established" and told.fields()["jti"] in at:
                assert at[told.fields()["jti"]] < place


def test_strands_that_wait_for_each_other_are_put_in_an_order_all_the_same() -> None:
    ids = ["3f0c1f6e-0000-4000-8000-000000000001", "3f0c1f6e-0000-4000-8000-000000000002"]

    def issued(agent: str, makes: str, mentions: str) -> Event:
        sides = {"target": "x", "jti": makes, "grants": []}
        return {"type": "delegation.issued", "agent_id": agent, **sides, "payload": {"parent_jti": mentions}}

    loop = [issued("a", *ids), issued("b", *reversed(ids))]
    log = MadeLog(Given(run_id="r" * 12), loop, 1.8e9)
    back = MadeLog(Given(run_id="r" * 12), loop[::-1], 1.8e9)
    assert [told.by for told in log.form().sections[0].events] == ["a", "b"]
    assert log.form() == back.form()


@given(st.lists(st.sampled_from(TYPES), max_size=20), st.data())
def test_whatever_events_there_are_they_have_a_normal_form(types: list[str], data: st.DataObject) -> None:
    names = st.sampled_from(["a", "b", "3f0c1f6e-0000-4000-8000-00000000000a", "aid:pubkey:abc", "x" * 30, ""])
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40) | names,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
        max_leaves=8,
    )
    fields = ("agent_id", "step_id", "initiator", "target", "jti", "session_id", "error", "result", "payload", "port")
    events = [
        {"type": one, **{name: data.draw(values) for name in fields if data.draw(st.booleans())}} for one in types
    ]
    log = MadeLog(Given(run_id="some-run-id"), events, 1.8e9)
    assert log.form(volatile=True) == log.form(volatile=True)


def test_a_log_of_events_alone_says_what_it_can() -> None:
    bodies = made_log().bodies()
    alone = normal_form(given_in(bodies), bodies)
    assert (alone.run["ref"], alone.run["inputs"], alone.run["status"]) == (REF, None, "success")
    assert alone.sections == made_log().form().sections
    with pytest.raises(ValueError, match="no events"):
        given_in([])


def test_a_log_without_an_end_has_no_status() -> None:
    unfinished = made_log().changed(lambda events: events.pop()).form()
    assert (unfinished.run["status"], unfinished.end) == (None, None)


def test_a_run_that_is_too_long_is_refused_before_it_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normal, "MOST_EVENTS", 2)
    log = Log()
    log.add(b"{}")
    log.add(b"{}")
    with pytest.raises(PayloadTooLarge, match="at most 2 events"):
        log.add(b"{}")
    monkeypatch.setattr(normal, "MOST_BYTES", 10)
    with pytest.raises(PayloadTooLarge):
        Log().add(b"x" * 11)


def test_numbers_and_texts_that_json_barely_holds_survive() -> None:
    log = made_log()
    result = {"huge": 2**90, "b": 1, "lone": "\ud800"}
    form = log.changed(lambda events: events[log.find("step.complete", step_id="call")].update(result=result)).form()
    assert json.loads(form.sections[1].output or b"") == result


@pytest.mark.parametrize("shape", ["lists", "mappings"])
def test_what_is_nested_as_deeply_as_may_be_is_rewritten_and_compared(shape: str) -> None:
    log = made_log()

    def nested(leaf: str) -> MadeLog:
        result: object = leaf
        for _ in range(195):
            result = [result] if shape == "lists" else {"a": result}
        return log.changed(lambda events: events[log.find("step.complete", step_id="call")].update(result=result))

    told = compared(nested(log.secrets[1]).form(), nested("else").form())
    (difference,) = told.sections[0].output
    assert (difference.a, difference.b) == ("<aid:analyst>", "else")


def test_addresses_that_an_agent_makes_up_cost_little() -> None:
    log = made_log()
    hook = f"/webhooks/cp/{log.given.run_id}"
    poll = {"type": "revocation.list_fetched", "agent_id": "writer", "step_id": "call", "payload": {"issuer": "aid:x"}}
    polls: list[Event] = [{**poll, "source_url": f"http://host-{number}{hook}"} for number in range(3_000)]
    form = log.changed(lambda events: events.__setitem__(slice(-5, -5), polls)).form()
    assert sum(told.type == "revocation.list_fetched" for told in form.sections[1].events) == len(polls)


def test_what_makes_something_and_what_may_not_come_is_told_of_known_fields() -> None:
    for name in TYPES:
        row = spec(name)
        assert row is not None
        assert row.makes <= row.allowed
        assert not (row.volatile == "yes" and row.makes), "what may not come is not relied on"
        assert not (row.opens and row.origin == "agent")
