"""Whatever is sent to a server or lies before it: no callback of its loop takes long, and others are answered."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import hmac
import io
import json
import os
import shutil
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.support.playground import VARIANTS

from . import hostile, large
from .probed import MARK

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Milliseconds of the loop's thread that one callback may take.
LONGEST = 50.0
PATIENCE = 300.0
MIB = 1 << 20


@dataclass
class Watched:
    """A server in a process of its own, asked by two clients."""

    process: asyncio.subprocess.Process
    url: str
    http: aiohttp.ClientSession
    runs: dict[str, str]

    async def worst(self) -> list[tuple[float, str]]:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        return [(ms, what) for ms, what in json.loads(await told(self.process))]

    async def telemetry_token(self) -> str:
        """Of the agent that was launched last."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"tokens\n")
        telemetry, _admin = json.loads(await told(self.process))[-2:]
        return str(telemetry)

    @contextlib.asynccontextmanager
    async def unheld(self) -> AsyncIterator[None]:
        """What happens in the block holds nobody up."""
        await self.worst()
        asking = asyncio.create_task(self._ask())
        try:
            yield
            assert not asking.done(), "the second client is no longer answered"
        finally:
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking
        async with self.http.get(f"{self.url}/healthz") as answer:
            assert answer.status == 200
        worst = await self.worst()
        print(worst[:2])
        assert all(ms <= LONGEST for ms, _ in worst), worst

    async def _ask(self) -> None:
        while True:
            async with asyncio.timeout(PATIENCE), self.http.get(f"{self.url}/healthz") as answer:
                assert answer.status == 200
            await asyncio.sleep(0.02)

    async def send(self, method: str, path: str, **request: Any) -> int:
        """The status of the answer, read to its end."""
        async with asyncio.timeout(PATIENCE), self.http.request(method, f"{self.url}{path}", **request) as answer:
            async for _ in answer.content.iter_any():
                pass
            return answer.status

    async def submit(self, name: str, inputs: dict[str, Any]) -> tuple[int, Any]:
        body = {"scenario_ref": f"hostile/{name}@1.0.0", "inputs": inputs}
        sent = io.BytesIO(json.dumps(body, separators=(",", ":")).encode())
        headers = {"Content-Type": "application/json"}
        async with (
            asyncio.timeout(PATIENCE),
            self.http.post(f"{self.url}/runs", data=sent, headers=headers) as answer,
        ):
            return answer.status, await answer.json()

    async def status(self, run_id: str) -> Any:
        async with asyncio.timeout(PATIENCE), self.http.get(f"{self.url}/runs/{run_id}/status") as answer:
            return await answer.json()

    async def failed_step(self, run_id: str) -> str | None:
        """The step that a run failed at, if it got that far."""
        async with asyncio.timeout(PATIENCE), self.http.get(f"{self.url}/runs/{run_id}") as answer:
            events = (await answer.json())["events"]
        return next((event["step_id"] for event in events if event["type"] == "step.failed"), None)


async def told(process: asyncio.subprocess.Process) -> str:
    """The next word of the probe."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        async for line in process.stdout:
            if line.startswith(MARK.encode()):
                return line[len(MARK) :].decode().strip()
    raise AssertionError("the server ended early")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    home = tmp_path_factory.mktemp("watched")
    hostile.write(home / "scenarios")
    shutil.copytree(VARIANTS / "agents", home / "agents")  # where their agents' code is looked for
    runs = await large.store(home / "state")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(map(str, (Path(__file__).parents[3], Path(__file__).parents[3] / "agents"))),
        "HOME": str(home),
        "STATE_DIR": str(home / "state"),
        "SCENARIOS_DIR": f"{home / 'scenarios'}{os.pathsep}{VARIANTS / 'scenarios'}",
        "PORT": "0",
        "LOG_LEVEL": "error",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.loop.probed",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        assert process.stdin is not None
        url = await told(process)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as http:
            yield Watched(process, url, http, runs)
        process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_contract_is_made_elsewhere_and_once(watched: Watched) -> None:
    async with watched.unheld():
        for path in ("/openapi.json", "/docs", "/openapi.json"):
            assert await watched.send("GET", path) == 200


@pytest.mark.parametrize(
    "path", ["/scenarios", "/scenarios?once=more", "/packs", "/scenarios/hostile/lattice-full-0@1.0.0"]
)
async def test_a_directory_full_of_broken_files_is_listed(watched: Watched, path: str) -> None:
    async with watched.unheld():
        assert await watched.send("GET", path) in {200, 422, 500}


@pytest.mark.parametrize("name", hostile.SCHEMAS)
async def test_inputs_that_are_hard_to_validate_are_judged_elsewhere(watched: Watched, name: str) -> None:
    async with watched.unheld():
        status, answer = await watched.submit(name, hostile.SCHEMAS[name][1])
        assert status in {202, 422}, answer


@pytest.mark.parametrize("name", hostile.EXPECTATIONS)
async def test_expectations_that_are_hard_to_judge_are_judged_elsewhere(watched: Watched, name: str) -> None:
    async with watched.unheld():
        texts = {"s": "a" * 40 + "!", "l": [{"n": n} for n in range(20_000)]}
        status, answer = await watched.submit(name, texts)
        assert status == 202
        assert await watched.send("GET", f"/runs/{answer['run_id']}/events") == 200
        assert await watched.failed_step(answer["run_id"]) == "act"


REF = '"scenario_ref": "hostile/echo@1.0.0"'
BODIES = {
    "numbers": f'{{{REF}, "inputs": {{"l": [{"1," * 500_000}1]}}}}',
    "objects": f'{{{REF}, "inputs": {{"l": [{"{}," * 340_000}{{}}]}}}}',
    "keys": f'{{{REF}, "inputs": {{{",".join(f"{chr(34)}{n}{chr(34)}:1" for n in range(90_000))}}}}}',
    "unknown keys": f"{{{','.join(f'{chr(34)}{n}{chr(34)}:1' for n in range(90_000))}}}",
    "repeated keys": f'{{{REF}, "inputs": {{{chr(34)}a{chr(34)}:1{f",{chr(34)}a{chr(34)}:1" * 150_000}}}}}',
    "deep": f'{{{REF}, "inputs": {{"l": {"[" * 500_000}{"]" * 500_000}}}}}',
    "deep objects": '{"a":' * 200_000,
    "long numbers": f'{{{REF}, "inputs": {{"n": {"9" * 1_000_000}}}}}',
    "escapes": f'{{{REF}, "inputs": {{"s": "{chr(92) + "u0041":s}{(chr(92) + "ud800") * 170_000}"}}}}',
    "text": f'{{{REF}, "inputs": {{"s": "{"ä" * 520_000}"}}}}',
    "spaces": " " * 1_048_000 + "1",
    "label": f'{{{REF}, "run_label": "{"x" * 1_000_000}"}}',
    "faults": f'{{{REF}, "fault_injection": {{"peer_offline": [{",".join([chr(34) + "x" + chr(34)] * 200_000)}]}}}}',
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_large_body_of_whatever_kind_is_answered(watched: Watched, name: str) -> None:
    body = BODIES[name].encode("utf-8", "surrogatepass")
    async with watched.unheld():
        headers = {"Content-Type": "application/json", "Idempotency-Key": name}
        assert await watched.send("POST", "/runs", data=body, headers=headers) in {202, 400, 413, 422}


@pytest.mark.parametrize("name", BODIES)
async def test_a_large_delivery_of_whatever_kind_is_taken(watched: Watched, name: str) -> None:
    body = BODIES[name].encode("utf-8", "surrogatepass")[:MIB]
    signature = f"sha256={hmac.new(large.SECRET.encode(), body, hashlib.sha256).hexdigest()}"
    async with watched.unheld():
        path, headers = f"/webhooks/cp/{watched.runs['events']}", {"X-Aitp-Signature": signature}
        assert await watched.send("POST", path, data=body, headers=headers) == 200


@pytest.mark.parametrize("events", [1_000, 10_000])
async def test_large_batches_of_telemetry_are_answered(watched: Watched, events: int) -> None:
    batch = [
        {"emitter_seq": n, "type": "capability.invoked", "ts": 1.0, "payload": {"a": [n, {}, "x"]}}
        for n in range(1, events + 1)
    ]
    async with watched.unheld():
        headers = {"Authorization": "Bearer nobody"}
        body = {"emitter_seq": events, "events": batch}
        assert await watched.send("POST", "/internal/telemetry", json=body, headers=headers) in {401, 413, 422}


async def test_a_large_answer_of_an_agent_is_read_elsewhere(watched: Watched) -> None:
    async with watched.unheld():
        status, answer = await watched.submit("echo", {str(n): 1 for n in range(90_000)})
        assert status == 202
        assert await watched.send("GET", f"/runs/{answer['run_id']}/events") == 200
    assert (await watched.status(answer["run_id"]))["status"] == "success"


async def test_a_large_batch_of_an_agents_telemetry_is_taken(watched: Watched) -> None:
    status, answer = await watched.submit("echo", {"act": "sleep", "seconds": 600})
    assert status == 202, answer
    run = f"{watched.url}/runs/{answer['run_id']}"
    async with asyncio.timeout(PATIENCE), watched.http.get(f"{run}/events") as stream:
        async for line in stream.content:
            if b"step.started" in line:
                break
        else:
            raise AssertionError("the run ended early")
    first = 1_000_001  # far beyond what the agent itself has told
    batch = [
        {
            "emitter_seq": n,
            "type": "capability.invoked",
            "ts": 1.0,
            "payload": {f"k{k}": [k, {}, "x"] for k in range(40)},
        }
        for n in range(first, first + 1_000)
    ]
    body = json.dumps({"emitter_seq": batch[-1]["emitter_seq"], "events": batch}).encode()
    headers = {"Authorization": f"Bearer {await watched.telemetry_token()}"}
    async with watched.unheld():
        assert await watched.send("POST", "/internal/telemetry", data=body, headers=headers) == 200
    assert (await watched.status(answer["run_id"]))["event_count"] > 1_000
    assert await watched.send("POST", f"/runs/{answer['run_id']}/cancel") == 202


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_large_compressed_delivery_is_taken(
    watched: Watched, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    document = {"deliveryId": encoding, "eventType": "x", "payload": {f"k{n}": [n, {}, "x"] for n in range(45_000)}}
    body = compress(json.dumps(document).encode()[:MIB])
    signature = f"sha256={hmac.new(large.SECRET.encode(), body, hashlib.sha256).hexdigest()}"
    async with watched.unheld():
        headers = {"X-Aitp-Signature": signature, "Content-Encoding": encoding}
        path = f"/webhooks/cp/{watched.runs['events']}"
        assert await watched.send("POST", path, data=io.BytesIO(body), headers=headers) == 200


async def test_an_agent_that_reports_without_end_holds_nobody_up(watched: Watched) -> None:
    async with watched.unheld():
        status, answer = await watched.submit("echo", {"act": "flood", "count": 8_000})
        assert status == 202
        assert await watched.send("GET", f"/runs/{answer['run_id']}/events") == 200
    over = await watched.status(answer["run_id"])
    assert (over["status"], over["event_count"] > 8_000) == ("success", True), over


@pytest.mark.parametrize("log", ["outputs", "events", "deliveries"])
@pytest.mark.parametrize(
    "path",
    [
        "/runs/{}",
        "/runs/{}?events=false",
        "/runs/{}?limit=1000",
        "/runs/{}/narrate",
        "/runs/{}/events",
        "/runs/{}/cp-deliveries",
        "/runs/{}/cp-deliveries?event_type=y",
        "/runs/{}/agents/a/log",
    ],
)
async def test_a_large_log_is_told_in_pieces(watched: Watched, log: str, path: str) -> None:
    async with watched.unheld():
        assert await watched.send("GET", path.format(watched.runs[log])) == 200


@pytest.mark.parametrize(
    ("one", "other"),
    [("fewer outputs", "fewer outputs"), ("fewer events", "fewer events"), ("fewer events", "fewer outputs")],
)
async def test_large_logs_are_compared_elsewhere(watched: Watched, one: str, other: str) -> None:
    async with watched.unheld():
        assert await watched.send("GET", f"/runs/{watched.runs[one]}/diff/{watched.runs[other]}") == 200


@pytest.mark.parametrize(
    "query", ["a=1&" * 2_000, "limit=" + "9" * 7_000, "a" * 65_536, "%00" * 2_500, "a=1&" * 16_000]
)
async def test_a_long_query_is_answered(watched: Watched, query: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(watched.url.rpartition(":")[2]))
    async with watched.unheld():
        with contextlib.suppress(ConnectionError):
            writer.write(f"GET /runs?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            async with asyncio.timeout(PATIENCE):
                assert (await reader.read()).startswith(b"HTTP/1.")
    writer.close()
