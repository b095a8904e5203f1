"""At the end a receiver of traces has a while, and not a moment more, whatever it does with it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from queue import SimpleQueue

import pytest
import structlog

from aitp_playground.observability.tracing import Tracing
from tests.support.spans import Kept

ROOT = Path(__file__).parents[3]

#: A receiver that accepts and never answers, for ten minutes and more, and a process that is to end before.
HELD = """
import asyncio, os, socket
held = socket.create_server(("127.0.0.1", 0))
os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{held.getsockname()[1]}"
os.environ["OTEL_EXPORTER_OTLP_TIMEOUT"] = "600"
from aitp_playground.observability import tracing
from aitp_playground.observability.otel import Exporter
from aitp_playground.observability.spans import handed_in
from tests.support.spans import told

class Slow(Exporter):
    over = False
    def shutdown(self):
        super().shutdown()
        self.over = True

tracing.CLOSE_SECS = 0.1
sink = Slow()
run_id = "00000000-0000-4000-8000-000000000001"
made = tracing.Tracing(sink)
made.take(run_id, handed_in(run_id, "worker", [told()]))
asyncio.run(made.close())
print("over" if sink.over else "left")
"""


class Stuck(Kept):
    """Whose shutdown ends when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()
        self.held: SimpleQueue[threading.Thread] = SimpleQueue()

    def shutdown(self) -> None:
        self.held.put(threading.current_thread())
        self.let_go.wait()


async def test_nothing_waits_for_the_thread_that_a_receiver_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aitp_playground.observability.tracing.CLOSE_SECS", 0.01)
    sink = Stuck()
    with structlog.testing.capture_logs() as lines:
        await Tracing(sink).close()
    assert [line["event"] for line in lines] == ["tracing.left_behind"]
    sink.let_go.set()
    held = await asyncio.to_thread(sink.held.get)
    assert held.daemon, "executors and the end of the process wait for others"
    await asyncio.to_thread(held.join)


async def test_a_receiver_that_takes_all_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aitp_playground.observability.tracing.CLOSE_SECS", 300.0)
    with structlog.testing.capture_logs() as lines:
        await Tracing(Kept()).close()
    assert lines == []


def test_a_process_ends_quietly_while_a_receiver_keeps_it_waiting() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELD], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    warned, last = done.stdout.splitlines()
    assert "tracing.left_behind" in warned
    assert last == "left"
