"""The language model's client, with the providers' packages, against a real HTTP server that speaks both dialects."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Self

import pytest

import base.text.llm as llm_module
from base.http import step_mark
from base.process.bootstrap import LlmConfig
from base.text.llm import FIRST_WAIT, LONGEST_WAIT, MAX_ANSWER, MAX_ATTEMPTS, MAX_PROMPT, MAX_TOKENS, LlmClient
from base.text.providers import wire
from base.text.rewording import REASONS, LlmError, reworded
from tests.support.models import (
    LIMITED,
    PATHS,
    PROVIDERS,
    STOPPED,
    Models,
    after_interim_ones,
    body_of,
    hangs_up,
    packed,
    says,
    serving_models,
    speaks,
)

KEY = "sk-test-4f1d0c-secret"
AGENTS = Path(llm_module.__file__).parents[2]
both = pytest.mark.parametrize("provider", PROVIDERS)


@pytest.fixture
async def models() -> AsyncIterator[Models]:
    async with serving_models() as running:
        yield running


class Asking:
    """A client of the server, its events, and the waits it would have had."""

    def __init__(self, models: Models, provider: str, **changes: Any) -> None:
        config = LlmConfig(provider, KEY, models.url, "test-model", 30)  # type: ignore[arg-type]
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.waits: list[float] = []
        self.client = LlmClient(replace(config, **changes), on_event=self._note, sleep=self._sleep)

    def _note(self, event_type: str, **fields: Any) -> None:
        self.events.append((event_type, fields))

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    async def failure(self, prompt: str = "a private prompt") -> LlmError:
        with pytest.raises(LlmError) as caught:
            await self.client.complete("a private system", prompt)
        assert self.events[-1][0] == "llm.failed"
        assert self.events[-1][1]["error"] == caught.value.reason
        return caught.value


# -- what is asked -----------------------------------------------------------------------------------------------------


async def test_openai_is_asked_by_chat_completions(models: Models) -> None:
    models.answers = [says(body_of("openai", " An answer. "))]
    async with Asking(models, "openai") as asking:
        assert await asking.client.complete("be brief", "why?", max_tokens=50) == "An answer."
    (asked,) = models.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    assert asked.body == {
        "model": "test-model",
        "max_tokens": 50,
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "why?"}],
    }


@pytest.mark.parametrize("suffix", ["", "/v1"])
async def test_anthropic_is_asked_by_messages(models: Models, suffix: str) -> None:
    models.answers = [says(body_of("anthropic", "An answer."))]
    async with Asking(models, "anthropic", base_url=models.url.removesuffix("/v1") + suffix) as asking:
        assert await asking.client.complete("be brief", "why?", max_tokens=50) == "An answer."
    (asked,) = models.asked
    assert asked.path == "/v1/messages"
    assert asked.headers["x-api-key"] == KEY
    assert asked.headers["anthropic-version"]
    assert asked.body == {
        "model": "test-model",
        "max_tokens": 50,
        "system": "be brief",
        "messages": [{"role": "user", "content": "why?"}],
    }


@both
async def test_no_header_goes_along_that_is_not_needed(models: Models, provider: str) -> None:
    models.answers = [says(body_of(provider, "yes"), set_cookie="a=b"), says(body_of(provider, "yes"))]
    async with Asking(models, provider) as asking:
        for _ in range(2):
            await asking.client.complete("s", "p")
    own = {"authorization"} if provider == "openai" else {"x-api-key", "anthropic-version"}
    usual = {"host", "accept", "accept-encoding", "content-type", "content-length", "user-agent"}
    for asked in models.asked:
        assert {name.lower() for name in asked.headers} - {"connection"} == usual | own
        assert asked.headers["Accept-Encoding"] == "identity"
        assert asked.headers["User-Agent"] == "aitp-agent"


@both
async def test_a_server_that_needs_no_key_gets_none(models: Models, provider: str) -> None:
    models.answers = [says(body_of(provider, "yes"))]
    async with Asking(models, provider, api_key=None) as asking:
        assert await asking.client.complete("s", "p") == "yes"
    assert not {name.lower() for name in models.asked[0].headers} & {"authorization", "x-api-key"}
    assert wire.NO_KEY not in str(models.asked)


@pytest.mark.parametrize("status", [400, 422])
async def test_a_server_that_refuses_one_name_of_the_limit_is_given_the_other_from_then_on(
    models: Models, status: int
) -> None:
    complaint = {"error": {"message": "Unsupported parameter: 'max_tokens'", "param": "max_tokens"}}
    models.answers = [says(complaint, status), says(body_of("openai", "one")), says(body_of("openai", "two"))]
    async with Asking(models, "openai") as asking:
        assert [await asking.client.complete("s", "p", max_tokens=7) for _ in range(2)] == ["one", "two"]
    named = [{name: asked.body[name] for name in asked.body if "tokens" in name} for asked in models.asked]
    assert named == [{"max_tokens": 7}, {"max_completion_tokens": 7}, {"max_completion_tokens": 7}]


@pytest.mark.parametrize(
    ("complaint", "times"), [("no such model", 1), ("neither max_tokens nor max_completion_tokens", 2)]
)
async def test_a_request_that_is_refused_for_good_is_not_asked_for_ever(
    models: Models, complaint: str, times: int
) -> None:
    models.always = says({"error": {"message": complaint}}, 400)
    async with Asking(models, "openai") as asking:
        assert (await asking.failure()).reason == "http_4xx"
    assert len(models.asked) == times


@pytest.mark.parametrize(
    ("base_url", "limit"),
    [("https://api.openai.com/v1", "max_completion_tokens"), ("http://localhost:11434/v1", "max_tokens")],
    ids=["openai", "another"],
)
async def test_openai_itself_gets_the_name_that_its_newer_models_want(base_url: str, limit: str) -> None:
    from base.text.providers.openai_chat import Provider

    provider = Provider(LlmConfig("openai", KEY, base_url, "m", 30))
    assert provider._limit == limit
    await provider.close()


@both
async def test_prompt_tokens_and_answer_are_bounded_and_the_answer_is_cleaned(models: Models, provider: str) -> None:
    models.answers = [says(body_of(provider, "a\x1b\u202e\u061c\U000e0041" + "a" * MAX_ANSWER))]
    async with Asking(models, provider) as asking:
        assert await asking.client.complete("s", "p" * (MAX_PROMPT - 1), max_tokens=10**9) == "a" * MAX_ANSWER
        assert models.asked[0].body["max_tokens"] == MAX_TOKENS
        assert (await asking.failure("p" * MAX_PROMPT)).reason == "too_large"
    assert len(models.asked) == 1


# -- trying again ------------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("status", [429, 500, 503, 529])
async def test_what_will_pass_is_tried_again_after_the_time_that_is_named(
    models: Models, provider: str, status: int
) -> None:
    models.answers = [
        says({}, status, retry_after="2"),
        says({}, status, retry_after="9", retry_after_ms="1500"),
        says(body_of(provider, "third time")),
    ]
    async with Asking(models, provider) as asking:
        assert await asking.client.complete("s", "p") == "third time"
        assert asking.waits == [2.0, 1.5]


@both
async def test_a_date_is_waited_for(models: Models, provider: str) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    models.answers = [says({}, 503, retry_after=date), says(body_of(provider, "then"))]
    async with Asking(models, provider, timeout_secs=600) as asking:
        assert await asking.client.complete("s", "p") == "then"
        assert 0 <= asking.waits[0] <= 20


@both
@pytest.mark.parametrize(
    ("status", "absurd", "reason"),
    [
        (429, "86400", "rate_limited"),
        (503, "9" * 12, "http_5xx"),
        (503, "Fri, 01 Jan 2100 00:00:00 GMT", "http_5xx"),
    ],
    ids=["a day", "ages", "in 2100"],
)
async def test_more_time_than_there_is_ends_it_at_once(
    models: Models, provider: str, status: int, absurd: str, reason: str
) -> None:
    models.answers = [says({}, status, retry_after=absurd)]
    async with Asking(models, provider) as asking:
        error = await asking.failure()
        assert (error.reason, error.status, asking.waits) == (reason, status, [])
    assert len(models.asked) == 1


@both
@pytest.mark.parametrize(("status", "reason"), [(429, "rate_limited"), (502, "http_5xx")])
async def test_what_does_not_pass_ends_after_some_attempts_each_later_than_the_last(
    models: Models, provider: str, status: int, reason: str
) -> None:
    models.always = says("overloaded", status)
    async with Asking(models, provider, timeout_secs=600) as asking:
        error = await asking.failure()
        assert (error.reason, error.status) == (reason, status)
        assert len(models.asked) == MAX_ATTEMPTS == len(asking.waits) + 1
        assert all(FIRST_WAIT <= wait <= LONGEST_WAIT + FIRST_WAIT for wait in asking.waits)
        assert asking.waits == sorted(asking.waits)
        assert asking.events[-1][1]["status"] == status


@both
async def test_a_provider_that_asks_not_to_be_tried_again_is_not(models: Models, provider: str) -> None:
    models.answers = [says({}, 429, x_should_retry="false")]
    async with Asking(models, provider) as asking:
        assert (await asking.failure()).reason == "rate_limited"
    assert len(models.asked) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"retry-after": "2"}, 2, id="seconds"),
        pytest.param({"retry-after": " 2.5 "}, 2.5, id="a fraction"),
        pytest.param({"retry-after-ms": "250", "retry-after": "9"}, 0.25, id="milliseconds"),
        pytest.param({"retry-after-ms": "soon", "retry-after": "3"}, 3, id="milliseconds that are none"),
        pytest.param({"retry-after": "nonsense"}, None, id="nonsense"),
        pytest.param({"retry-after": "-3"}, None, id="negative"),
        pytest.param({"retry-after": "inf"}, None, id="infinite"),
        pytest.param({"retry-after": "nan"}, None, id="no number"),
        pytest.param({"retry-after": "9" * 5_000}, None, id="many digits"),
        pytest.param({"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}, 30, id="a date"),
        pytest.param({"retry-after": "Sat, 01 Jan 2000 00:00:00 GMT"}, 0, id="a date gone by"),
        pytest.param({"retry-after": "Thu, 01 Jan 2026 00:00:30"}, None, id="a date without a zone"),
        pytest.param({"retry-after": "Thu, 01 Jan 99999999999 00:00:00 GMT"}, None, id="a date beyond all"),
    ],
)
def test_the_time_that_a_provider_names(headers: dict[str, str], seconds: float | None) -> None:
    assert wire.retry_after(headers, datetime(2026, 1, 1, tzinfo=UTC)) == seconds


# -- the time there is -------------------------------------------------------------------------------------------------


@both
async def test_a_silent_server_is_given_up_on(models: Models, provider: str) -> None:
    models.always = models.hangs()
    async with Asking(models, provider, timeout_secs=0.2) as asking:
        assert (await asking.failure()).reason == "timeout"


@both
async def test_a_step_that_has_little_time_left_bounds_the_question(models: Models, provider: str) -> None:
    models.always = models.hangs()
    step_mark.take({step_mark.HEADER: "m", step_mark.SECONDS_HEADER: "0.5"})
    async with Asking(models, provider, timeout_secs=100_000) as asking:
        assert (await asking.failure()).reason == "timeout"
        assert asking.events[-1][1]["ms"] < 60_000
        models.always = says({}, 503, retry_after="1")
        asked = len(models.asked)
        for none in ("0", "0.06"):
            step_mark.take({step_mark.HEADER: "m", step_mark.SECONDS_HEADER: none})
            assert (await asking.failure()).reason == "no_time"
        assert (asking.waits, len(models.asked)) == ([], asked)


@both
async def test_interim_answers_without_end_do_not_hold_the_loop(
    models: Models, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.always = after_interim_ones(60_000, body_of(provider, "at last"))
    longest, run = 0.0, asyncio.Handle._run  # type: ignore[attr-defined]

    def measured(handle: asyncio.Handle) -> None:
        nonlocal longest
        begun = time.thread_time()
        run(handle)
        longest = max(longest, time.thread_time() - begun)

    async with Asking(models, provider, timeout_secs=300) as asking:
        await asking.client._opened()  # its import has a test of its own
        monkeypatch.setattr(asyncio.Handle, "_run", measured)
        assert await asking.client.complete("s", "p") == "at last"
    assert longest < 0.05


@both
async def test_a_cancelled_question_stays_cancelled(models: Models, provider: str) -> None:
    models.always = models.hangs()
    async with Asking(models, provider) as asking:
        task = asyncio.create_task(asking.client.complete("s", "p"))
        await models.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [kind for kind, _ in asking.events] == ["llm.started"]
        models.always = says(body_of(provider, "still in order"))
        assert await asking.client.complete("s", "p") == "still in order"


@both
async def test_who_gives_up_while_the_package_is_imported_leaves_it_to_the_next(
    models: Models, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, held, begun = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    real, opened = llm_module._open, []

    def slow(config: LlmConfig) -> Any:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(held.wait(), loop).result()
        opened.append(real(config))
        return opened[-1]

    monkeypatch.setattr(llm_module, "_open", slow)
    models.always = says(body_of(provider, "yes"))
    async with Asking(models, provider) as asking:
        first = asyncio.create_task(asking.client.complete("s", "p"))
        await begun.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        second = asyncio.create_task(asking.client.complete("s", "p"))
        held.set()
        assert await second == "yes"
    assert len(opened) == 1


@both
async def test_the_import_neither_runs_on_the_loop_nor_sets_the_collector_on_it(
    models: Models, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, bool]] = []
    real = llm_module.importlib.import_module

    def noted(name: str) -> Any:
        seen.append((threading.current_thread() is threading.main_thread(), gc.isenabled()))
        return real(name)

    monkeypatch.setattr(llm_module.importlib, "import_module", noted)
    models.always = says(body_of(provider, "yes"))
    async with Asking(models, provider) as asking:
        await asking.client.complete("s", "p")
        await asking.client.complete("s", "p")
    assert seen == [(False, False)] * 2  # tenacity and the provider, once
    assert gc.isenabled()


@both
async def test_the_connections_are_closed_with_the_agent_and_one_is_enough(models: Models, provider: str) -> None:
    models.always = says(body_of(provider, "yes"))
    asking = Asking(models, provider)
    await asking.client.close()  # nothing was opened
    for _ in range(3):
        await asking.client.complete("s", "p")
    opened: Any = await asking.client._opened()
    await asking.client.close()
    assert opened._client.is_closed()
    assert len(models.peers) == 1


# -- what can come instead of an answer --------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    ("status", "reason"),
    [(400, "http_4xx"), (401, "unauthorized"), (403, "unauthorized"), (404, "http_4xx"), (409, "http_4xx")],
)
async def test_a_refusal_is_not_tried_again(models: Models, provider: str, status: int, reason: str) -> None:
    models.answers = [says("{}", status)]
    async with Asking(models, provider) as asking:
        error = await asking.failure()
        assert (error.reason, error.status) == (reason, status)
    assert len(models.asked) == 1


@both
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_and_the_key_stays(models: Models, provider: str, status: int) -> None:
    async with serving_models(speaks("from elsewhere")) as elsewhere:
        models.answers = [says("", status, Location=elsewhere.url + "/chat/completions")]
        async with Asking(models, provider) as asking:
            error = await asking.failure()
            assert (error.reason, error.status) == ("redirect", status)
        assert elsewhere.asked == []
    assert len(models.asked) == 1


@both
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("<html>", "not_json"),
        ("", "not_json"),
        (b"\xff\xfe", "not_json"),
        ("[" * 100_000, "not_json"),
        ("null", "bad_shape"),
        ("[]", "bad_shape"),
        ('"choices"', "bad_shape"),
        ('{"choices": [], "content": [7]}', "bad_shape"),
        ('{"choices": {}, "content": {}}', "bad_shape"),
        ('{"choices": [{"message": {"content": 5}}], "content": [{"type": "text", "text": 5}]}', "bad_shape"),
        ('{"choices": [{"message": []}], "content": [{"type": "text"}]}', "bad_shape"),
    ],
    ids=lambda given: repr(given)[:30],
)
async def test_an_answer_of_another_shape_is_an_error(
    models: Models, provider: str, body: str | bytes, reason: str
) -> None:
    models.answers = [says(body)]
    async with Asking(models, provider) as asking:
        assert (await asking.failure()).reason == reason


@both
@pytest.mark.parametrize("content_type", ["text/html", "text/event-stream", "application/octet-stream"])
async def test_what_an_answer_says_it_is_does_not_matter(models: Models, provider: str, content_type: str) -> None:
    models.answers = [
        says(body_of(provider, "yes"), Content_Type=content_type),
        says("<html>", Content_Type=content_type),
    ]
    async with Asking(models, provider) as asking:
        assert await asking.client.complete("s", "p") == "yes"
        assert (await asking.failure()).reason == "not_json"


@both
@pytest.mark.parametrize("text", ["", " \x00 \u200b"])
async def test_an_empty_answer_is_an_error(models: Models, provider: str, text: str) -> None:
    models.answers = [says(body_of(provider, text))]
    async with Asking(models, provider) as asking:
        assert (await asking.failure()).reason == "empty"


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("openai", body_of("openai", None, refusal="I cannot help with that.")),
        ("openai", body_of("openai", "half", "content_filter")),
        ("anthropic", body_of("anthropic", "half", "refusal")),
    ],
    ids=["message", "filter", "stop reason"],
)
async def test_a_models_refusal_is_told_apart(models: Models, provider: str, body: dict[str, Any]) -> None:
    models.answers = [says(body)]
    async with Asking(models, provider) as asking:
        assert (await asking.failure()).reason == "refusal"


@both
async def test_an_answer_that_was_cut_is_none(models: Models, provider: str) -> None:
    models.answers = [
        says(body_of(provider, "Half of", LIMITED[provider])),
        hangs_up,
        says(body_of(provider, "Whole.", STOPPED[provider])),
    ]
    async with Asking(models, provider) as asking:
        assert [(await asking.failure()).reason for _ in range(2)] == ["cut", "cut"]
        assert await asking.client.complete("s", "p") == "Whole."


async def test_an_answer_that_does_not_say_why_it_ended_is_taken(models: Models) -> None:
    models.answers = [
        says({"choices": [{"message": {"content": "yes"}}]}),
        says({"content": [{"type": "text", "text": "y"}]}),
    ]
    for provider, text in (("openai", "yes"), ("anthropic", "y")):
        async with Asking(models, provider) as asking:
            assert await asking.client.complete("s", "p") == text


@both
async def test_a_body_without_end_is_left_alone(models: Models, provider: str) -> None:
    models.answers = [models.endless(b"x" * 65_536)]
    async with Asking(models, provider, timeout_secs=600) as asking:
        assert (await asking.failure()).reason == "too_large"


@both
async def test_of_what_comes_with_a_refusal_little_is_read(models: Models, provider: str) -> None:
    models.answers = [models.endless(b"x" * 65_536, status=401)]
    async with Asking(models, provider, timeout_secs=600) as asking:
        assert (await asking.failure()).reason == "unauthorized"


@both
@pytest.mark.parametrize("size", [10, 50_000_000], ids=["small", "bomb"])
async def test_a_packed_answer_is_not_unpacked(models: Models, provider: str, size: int) -> None:
    models.answers = [packed(body_of(provider, "0" * size))]
    async with Asking(models, provider) as asking:
        assert (await asking.failure()).reason == "not_json"


@both
async def test_a_server_that_is_not_there_is_refused(models: Models, provider: str) -> None:
    with_nobody = LlmConfig(provider, KEY, "http://127.0.0.1:1/v1", "m", 30)  # type: ignore[arg-type]
    async with Asking(models, provider, base_url=with_nobody.base_url) as asking:
        assert (await asking.failure()).reason == "refused"
    assert models.asked == []


@both
async def test_a_package_that_is_not_installed_is_said(
    models: Models, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, llm_module._MODULES[provider], raising=False)
    monkeypatch.setitem(sys.modules, provider, None)
    async with Asking(models, provider) as asking:
        errors = [await asking.failure() for _ in range(2)]
    assert [error.reason for error in errors] == ["not_installed"] * 2
    assert "pip install 'aitp-playground[llm]'" in str(errors[0])
    assert models.asked == []


@both
async def test_a_package_of_another_make_is_as_good_as_none_and_its_trace_is_printed(
    models: Models, provider: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(f"{provider}.Async{'OpenAI' if provider == 'openai' else 'Anthropic'}", int)
    async with Asking(models, provider) as asking:
        assert (await asking.failure()).reason == "not_installed"
    shown = capsys.readouterr().err
    assert "TypeError" in shown
    assert KEY not in shown


# -- what stays hidden -------------------------------------------------------------------------------------------------


@both
async def test_key_and_prompt_are_in_no_error_event_log_or_repr(
    models: Models, provider: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = json.dumps({"error": {"message": f"bad key {KEY} for a private prompt"}})
    models.answers = [says(wrong, 401), says(wrong, 500), says(body_of(provider, "a private answer")), hangs_up]
    async with Asking(models, provider) as asking:
        errors = [await asking.failure()]
        await asking.client.complete("a private system", "a private prompt")
        errors.append(await asking.failure())
        causes = [cause for error in errors for cause in chain(error)]
        told = f"{causes!r} {[str(cause) for cause in causes]} {[vars(error) for error in errors]} {asking.events}"
        client = asking.client
        opened = await client._opened()
        assert KEY not in told + f"{client!r} {client} {client._config!r} {opened!r} {vars(opened)!r}" + caplog.text
        assert "private" not in f"{asking.events} {errors} {caplog.text}"
    assert all(error.__cause__ is None for error in errors)


@both
async def test_the_packages_own_errors_do_not_have_the_key(models: Models, provider: str) -> None:
    models.always = says("{}", 400)
    async with Asking(models, provider) as asking:
        opened: Any = await asking.client._opened()
        with pytest.raises(Exception, match="400") as caught:
            await opened._create(model="m", messages=[{"role": "user", "content": "p"}], max_tokens=1)
    assert KEY in str(models.asked[0].headers)
    error: Any = caught.value
    assert KEY not in f"{error.request.headers.raw} {vars(error)} {vars(error.response)} {vars(opened._client)}"


def chain(error: BaseException | None) -> list[BaseException]:
    return [] if error is None else [error, *chain(error.__cause__ or error.__context__)]


@both
async def test_events_tell_model_time_size_and_reason(models: Models, provider: str) -> None:
    models.answers = [says(body_of(provider, "four")), says("{}", 400)]
    async with Asking(models, provider) as asking:
        await asking.client.complete("sys", "prompt")
        await asking.failure("prompt")
        events = asking.events
    common = {"provider": provider, "model": "test-model"}
    assert [kind for kind, _ in events] == ["llm.started", "llm.complete", "llm.started", "llm.failed"]
    assert events[0][1] == {**common, "chars": len("sysprompt")}
    assert events[1][1] == {**common, "chars": 4, "ms": events[1][1]["ms"]}
    assert events[3][1] == {**common, "ms": events[3][1]["ms"], "error": "http_4xx", "status": 400}
    assert all(type(fields["ms"]) is int and fields["ms"] >= 0 for _, fields in (events[1], events[3]))


@pytest.mark.parametrize("reason", sorted(REASONS))
async def test_after_any_failure_the_worker_speaks_for_itself_and_the_output_says_why(reason: str) -> None:
    class Failing:
        model = "m"

        async def complete(self, system: str, prompt: str, *, max_tokens: int) -> str:
            raise LlmError(reason)

    answer = await reworded(Failing(), "s", {}, max_tokens=10)
    assert answer.text is None
    assert answer.credit["written_by"] == "worker"
    assert reason in answer.credit["note"]


# -- a process of its own ----------------------------------------------------------------------------------------------

ALONE = """
import asyncio, json, sys
import base.agent
from base.process.bootstrap import LlmConfig
from base.text.llm import LlmClient

PACKAGES = {"openai", "anthropic", "httpx", "httpx2", "tenacity"}

async def main(provider, url):
    client = LlmClient(LlmConfig(provider, "the-key", url, "m", 600), on_event=lambda *_, **__: None)
    loaded = [sorted(PACKAGES & sys.modules.keys())]
    text = await client.complete("s", "a private prompt")
    loaded.append(sorted(PACKAGES & sys.modules.keys()))
    await client.close()
    print(json.dumps({"loaded": loaded, "text": text}))

asyncio.run(main(*sys.argv[1:]))
"""


@both
async def test_alone_it_imports_at_the_first_question_and_the_environment_has_no_say(
    models: Models, provider: str
) -> None:
    models.always = says(body_of(provider, "yes"))
    nowhere = "http://127.0.0.1:1"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(AGENTS),
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"), nowhere),
        "OPENAI_BASE_URL": nowhere,
        "OPENAI_API_KEY": "another",
        "OPENAI_ORG_ID": "an-organisation",
        "OPENAI_PROJECT_ID": "a-project",
        "OPENAI_CUSTOM_HEADERS": "X-More: more\nAuthorization: Bearer another",
        "OPENAI_LOG": "debug",
        "ANTHROPIC_BASE_URL": nowhere,
        "ANTHROPIC_API_KEY": "another",
        "ANTHROPIC_AUTH_TOKEN": "another",
        "ANTHROPIC_CUSTOM_HEADERS": "X-More: more\nx-api-key: another",
        "ANTHROPIC_LOG": "debug",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", ALONE, provider, models.url),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    told = json.loads(out)
    assert told == {"loaded": [[], [*sorted({provider, "httpx2"}), "tenacity"]], "text": "yes"}
    (asked,) = models.asked
    assert (asked.path, asked.body["model"]) == (PATHS[provider], "m")
    assert asked.headers.get("Authorization", asked.headers.get("x-api-key", "")).endswith("the-key")
    for foreign in ("another", "more", "an-organisation", "a-project"):
        assert foreign not in str(asked)


@both
@pytest.mark.parametrize("charset", ["bz2", "zlib", "hex", "uu", "quopri", "idna", "undefined", "rot13", "utf-8"])
@pytest.mark.parametrize("status", [200, 400, 500])
async def test_a_server_cannot_choose_by_which_codec_its_answer_is_read(
    models: Models, provider: str, charset: str, status: int
) -> None:
    models.always = says(b"BZh91AY&SY", status, **{"Content-Type": f"text/plain; charset={charset}"})
    async with Asking(models, provider) as asking:
        failed = await asking.failure()
    assert failed.reason == {200: "not_json", 400: "http_4xx", 500: "http_5xx"}[status]
    assert [event for event, _ in asking.events] == ["llm.started", "llm.failed"]


@both
async def test_whatever_the_package_makes_of_an_answer_the_worker_is_told_of_a_failure(
    models: Models, provider: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(*_: Any) -> str:
        raise AssertionError("not foreseen")

    async with Asking(models, provider) as asking:
        opened = await asking.client._opened()
        monkeypatch.setattr(opened, "ask", broken)
        assert (await asking.failure()).reason == "bad_shape"
    assert "not foreseen" in capsys.readouterr().err
    assert [event for event, _ in asking.events] == ["llm.started", "llm.failed"]
