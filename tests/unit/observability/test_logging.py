"""Lines are whole, say when and what, hold no secret, and never wait for the stream."""

from __future__ import annotations

import gc
import io
import json
import logging as stdlib_logging
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import pytest
import structlog

from aitp_playground.events.codec import encode
from aitp_playground.events.model import RunEvent, draft
from aitp_playground.observability.logging import Logs, configure
from aitp_playground.observability.redaction import MASK, SECRETS
from aitp_playground.observability.sink import LineSink
from aitp_playground.store.port import StoredEvent

Configure = Callable[..., tuple[Logs, io.StringIO]]


@pytest.fixture
def logs_to() -> Iterator[Configure]:
    """Configure logging into a captured stream; closed, and structlog as before, after the test."""
    opened: list[Logs] = []
    root_level = stdlib_logging.getLogger().level
    before = structlog.get_config()

    def start(format: str = "json", level: Any = "INFO", **more: Any) -> tuple[Logs, io.StringIO]:  # noqa: A002
        stream = io.StringIO()
        opened.append(configure(level, format, more.pop("stream", stream), **more))  # type: ignore[arg-type]
        return opened[-1], stream

    yield start
    for logs in opened:
        logs.close()
    structlog.configure(**before)
    structlog.contextvars.clear_contextvars()
    stdlib_logging.getLogger().setLevel(root_level)


def stored(event_type: str, ts: float = 1_700_000_000.25, **fields: Any) -> StoredEvent:
    event = RunEvent(seq=3, id="e3", type=event_type, ts=ts, run_id="r1", fields=draft(event_type, **fields).fields)
    return StoredEvent(3, event_type, event.ts, encode(event))


def lines(logs: Logs, stream: io.StringIO) -> list[dict[str, Any]]:
    assert logs.flush()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_json_line_has_event_level_time_fields_and_context(logs_to: Configure) -> None:
    logs, stream = logs_to()
    with structlog.contextvars.bound_contextvars(run_id="r1", step_id="s1"):
        structlog.get_logger().warning("agent.slow", seconds=2)
    (line,) = lines(logs, stream)
    assert line["timestamp"].endswith("Z")
    assert line | {"timestamp": ""} == {
        "event": "agent.slow", "level": "warning", "timestamp": "", "run_id": "r1", "trace_id": "r1",
        "step_id": "s1", "seconds": 2,
    }  # fmt: skip


def test_what_is_below_the_level_is_not_written(logs_to: Configure) -> None:
    logs, stream = logs_to(level="WARNING")
    structlog.get_logger().info("quiet")
    stdlib_logging.getLogger("somebody").info("quiet")
    logs.event_line(stored("run.started"))
    logs.event_line(stored("run.failed", error="loud"))
    assert [line["event"] for line in lines(logs, stream)] == ["run.failed"]


def test_stdlib_loggers_write_the_same_form_with_the_same_context(logs_to: Configure) -> None:
    logs, stream = logs_to()
    with structlog.contextvars.bound_contextvars(run_id="r1"):
        stdlib_logging.getLogger("aiohttp.server").error("Error handling %s", "request", extra={"token": "abc123456"})
    (line,) = lines(logs, stream)
    assert line["event"] == "Error handling request"
    assert (line["level"], line["logger"], line["run_id"], line["token"]) == ("error", "aiohttp.server", "r1", MASK)


def test_an_exception_stays_inside_its_json_line(logs_to: Configure) -> None:
    logs, stream = logs_to()
    try:
        int("broken")
    except ValueError:
        structlog.get_logger().exception("went.wrong")
        stdlib_logging.getLogger("somebody").exception("went wrong")
    ours, theirs = lines(logs, stream)
    assert "ValueError: invalid literal" in ours["exception"]
    assert "ValueError: invalid literal" in theirs["exception"]


def test_an_event_line_says_type_and_time_once_and_holds_the_rest_as_stored(logs_to: Configure) -> None:
    logs, stream = logs_to()
    event = stored("capability.denied", agent_id="writer", capability="c", cause="tct_missing", odd="\ud800", big=2**70)
    logs.event_line(event)
    (line,) = lines(logs, stream)
    assert event.body[event.body.index(b'"run_id"') :].decode() in stream.getvalue()
    assert line.pop("event") == "capability.denied"
    assert line.pop("level") == "warning"
    assert line.pop("timestamp") == "2023-11-14T22:13:20.250000Z"
    recorded = json.loads(event.body)
    assert line.pop("trace_id") == recorded["run_id"].replace("-", "")
    assert (recorded.pop("type"), recorded.pop("ts")) == ("capability.denied", event.ts)
    assert line == recorded


@pytest.mark.parametrize("size", [10, 100_000])
def test_an_event_line_is_one_of_each_whatever_the_size_of_the_event(logs_to: Configure, size: int) -> None:
    logs, stream = logs_to()
    logs.event_line(stored("step.complete", step_id="s", result={"type": "mine", "body": "x" * size}))
    (line,) = lines(logs, stream)
    assert line.keys() == {"event", "level", "timestamp", "seq", "id", "run_id", "trace_id", "step_id", "result"}
    assert line["result"]["type"] == "mine"
    assert line["result"]["body"].startswith("xxxxxxxxxx")


@pytest.mark.parametrize(
    "output",
    [{"body": "y" * 900_000}, {str(n): "y" * 300 for n in range(3000)}, {"rows": [["y" * 300] * 50] * 50}],
)
def test_a_log_line_does_not_carry_a_whole_output(logs_to: Configure, output: dict[str, Any]) -> None:
    logs, stream = logs_to()
    logs.event_line(stored("step.complete", step_id="s", result=output))
    structlog.get_logger().info("ours", output=output)
    for line in lines(logs, stream):
        assert len(json.dumps(line)) < 200_000
        assert "more" in json.dumps(line, ensure_ascii=False)


TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJqdGkiOiIxMjM0NTY3OCJ9.c2lnbmF0dXJlLXNpZ25hdHVyZS1zaWduYXR1cmU"


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "result",
    [{"delegation_token": TOKEN}, {"deep": [{"said": f"here it is: {TOKEN}."}]}, {"pad": "z" * 9000, "t": TOKEN}],
)
def test_a_delegation_token_is_shown_as_its_digest(logs_to: Configure, form: str, result: dict[str, Any]) -> None:
    logs, stream = logs_to(form)
    logs.event_line(stored("step.complete", step_id="s", result=result))
    assert logs.flush()
    assert "c2lnbmF0dXJl" not in stream.getvalue()
    if form == "json":
        assert f"sha256:{sha256(TOKEN.encode()).hexdigest()}" in stream.getvalue()


def test_what_python_itself_says_becomes_a_line(logs_to: Configure, capfd: pytest.CaptureFixture[str]) -> None:
    logs, stream = logs_to()

    def fail() -> None:
        raise RuntimeError("in a thread")

    class Broken:
        def __del__(self) -> None:
            raise RuntimeError("in a destructor")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging_restarted = configure("INFO", "json", stream)
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        Broken()
        gc.collect()
        logging_restarted.close()
    said = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert "old ways" in said[0]["event"]
    assert [line["event"] for line in said[1:]] == ["thread.failed", "exception.ignored"]
    assert all("RuntimeError: in a" in line["exception"] for line in said[1:])
    assert capfd.readouterr().err == ""
    assert logs.flush()


def test_a_record_that_cannot_be_formatted_is_told_of_in_the_same_form(
    logs_to: Configure, capfd: pytest.CaptureFixture[str]
) -> None:
    logs, stream = logs_to()
    record = stdlib_logging.LogRecord("somebody", 30, __file__, 1, "%d and %d", ("no number",), None)
    (ours,) = [one for one in stdlib_logging.getLogger().handlers if type(one).__module__.startswith("aitp_playground")]
    ours.handle(record)
    (line,) = lines(logs, stream)
    assert (line["event"], line["message"]) == ("log.record_broken", "%d and %d")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("ts", [-1.0, float("nan"), 1e300])
def test_an_impossible_time_does_not_lose_the_event_line(logs_to: Configure, ts: float) -> None:
    logs, stream = logs_to()
    logs.event_line(stored("run.started", ts=ts))
    assert lines(logs, stream)[0]["timestamp"] == "1970-01-01T00:00:00.000000Z"


def test_an_event_of_an_unknown_type_is_logged_as_information(logs_to: Configure) -> None:
    logs, stream = logs_to()
    logs.event_line(stored('odd"type'))
    (line,) = lines(logs, stream)
    assert (line["event"], line["level"]) == ('odd"type', "info")


def test_on_the_console_an_event_is_one_readable_line_that_cannot_drive_the_terminal(logs_to: Configure) -> None:
    logs, stream = logs_to("console")
    logs.event_line(stored("run.failed", error="evil\n\x1b[2Jforged\u202e"))
    structlog.get_logger().info("seen", text="evil\r\n\x1b[2Jforged", nested={"deep": "\x9b31m"})
    assert logs.flush()
    first, second = stream.getvalue().splitlines()
    assert "run.failed" in first
    assert "run failed: evil" in first
    assert (first + second).isprintable()


def test_no_format_means_json_when_the_stream_is_no_terminal(logs_to: Configure) -> None:
    logs, stream = logs_to("")
    structlog.get_logger().info("hello")
    assert lines(logs, stream)[0]["event"] == "hello"


def test_no_format_means_the_console_form_on_a_terminal(logs_to: Configure) -> None:
    leader, follower = os.openpty()
    with os.fdopen(leader, "rb") as screen, os.fdopen(follower, "w") as terminal:
        logs, _ = logs_to("", stream=terminal)
        structlog.get_logger().info("hello")
        assert logs.flush()
        shown = screen.read1(4096)
        assert b"hello" in shown
        assert b'"event"' not in shown


def test_registered_secrets_and_values_under_secret_names_are_blotted_out(logs_to: Configure) -> None:
    logs, stream = logs_to()
    SECRETS.add("s3cr3t-value")
    try:
        structlog.get_logger().info(
            "call s3cr3t-value", url="http://x/?k=s3cr3t-value",
            headers={"Authorization": "Bearer abcdef", "n": ["s3cr3t-value"]},
            cp_api_key="hidden-1", expires_in_token=None, token_expires_in=300, s=b"s3cr3t-value",
        )  # fmt: skip
        try:
            int("with s3cr3t-value inside")
        except ValueError:
            structlog.get_logger().exception("failed")
        (first, second) = lines(logs, stream)
    finally:
        SECRETS.remove("s3cr3t-value")
    assert "s3cr3t" not in stream.getvalue()
    assert "hidden-1" not in stream.getvalue()
    assert first["headers"] == {"Authorization": MASK, "n": [MASK]}
    assert first["token_expires_in"] == 300
    assert f"with {MASK} inside" in second["exception"]


def test_a_secret_is_blotted_out_until_every_owner_has_let_go() -> None:
    SECRETS.add("shared-secret")
    SECRETS.add("shared-secret", "short")
    SECRETS.remove("shared-secret")
    assert SECRETS.blot("a shared-secret, short") == f"a {MASK}, short"
    SECRETS.remove("shared-secret")
    assert SECRETS.blot("a shared-secret") == "a shared-secret"


def test_a_full_pipe_holds_nobody_up_and_what_was_dropped_is_counted(logs_to: Configure) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    handed_over = 2000
    with os.fdopen(reader, "rb") as source, os.fdopen(writer, "wb") as full:
        logs, _ = logs_to(stream=full, max_pending=100_000)
        for number in range(handed_over):
            logs.event_line(stored("run.started", filler="x" * 500, number=number))
        received: list[dict[str, Any]] = []
        dropped = 0
        # The stream moves again only now; every line is either received or part of a count.
        while len(received) + dropped < handed_over:
            line = json.loads(source.readline())
            if line["event"] == "log.lines_dropped":
                dropped += line["dropped"]
            else:
                received.append(line)
    assert dropped > 0
    assert len(received) + dropped == handed_over
    numbers = [line["payload"]["number"] for line in received]
    assert numbers == sorted(set(numbers))


def test_closing_writes_what_still_waits(logs_to: Configure) -> None:
    logs, stream = logs_to()
    for _ in range(100):
        logs.event_line(stored("run.started"))
    logs.close()
    assert len(stream.getvalue().splitlines()) == 100


def test_a_stream_that_is_gone_breaks_nobody(logs_to: Configure) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as broken:
        logs, _ = logs_to(stream=broken)
        structlog.get_logger().info("nobody reads this")
        assert logs.flush()
        structlog.get_logger().info("nor this")
        logs.close()


def test_the_last_configuration_wins_also_for_loggers_made_before(logs_to: Configure) -> None:
    early = structlog.get_logger()
    first_logs, first = logs_to()
    second_logs, second = logs_to()
    early.info("from structlog")
    stdlib_logging.getLogger("somebody").warning("from stdlib")
    assert first_logs.flush()
    assert first.getvalue() == ""
    assert [line["event"] for line in lines(second_logs, second)] == ["from structlog", "from stdlib"]


def test_what_was_logged_just_before_the_exit_of_a_process_is_written() -> None:
    program = (
        "import structlog; from aitp_playground.observability.logging import configure; configure('INFO', 'json');"
        "[structlog.get_logger().info('tick', number=n) for n in range(500)]"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=300)
    assert [json.loads(line)["number"] for line in done.stderr.splitlines()] == list(range(500))
    assert done.stdout == b""


def test_closing_gives_up_on_a_stream_that_is_stuck() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb", closefd=True) as stuck:
        sink = LineSink(stuck, lambda count: b"dropped\n")
        sink.write(b"x" * 1_000_000 + b"\n")
        assert not sink.flush(0.05)
        sink.close(0.05)
        sink.write(b"too late\n")
        os.close(reader)
        assert sink.flush(20)
