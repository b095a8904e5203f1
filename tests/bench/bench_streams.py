"""How late an event reaches 200 subscribers: arrival minus the event's own time, on one machine's clock."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path

from tests.bench.report import Figure
from tests.bench.server import Server, server

SUBSCRIBERS = 200
STEPS = 100

_MANIFEST = """\
apiVersion: aitp.dev/v1
kind: AgentManifest
metadata: {id: researcher, name: Researcher, framework: custom, version: "1"}
spec:
  entrypoint: {type: python_module, value: researcher.main}
  aitp: {offered_caps: [research.query], display_name: Researcher}
"""
_PACK = """\
apiVersion: aitp.dev/v1
kind: ScenarioPack
metadata: {slug: bench, name: Benchmarks}
"""
_SCENARIO = """\
apiVersion: aitp.dev/v1
kind: ScenarioVersion
metadata: {pack: bench, scenario: steps, version: 1.0.0, name: Many steps}
spec:
  agents: [{id: researcher, ref: _shared/agents/researcher}]
  workflow:
    steps:
"""


async def figures() -> list[Figure]:
    """Lag over all events and subscribers, joined before the run starts."""
    with tempfile.TemporaryDirectory(prefix="playground-bench-") as name:
        root = Path(name) / "scenarios"
        write_scenario(root)
        async with server(scenarios_dir=str(root), max_concurrent_runs="1") as running:
            lags = await _measure(running)
    return [Figure(f"stream lag, {SUBSCRIBERS} subscribers", lags, "ms")]


def write_scenario(root: Path) -> None:
    """``bench/steps``, a run of many steps, below an empty directory."""
    for directory in ("_shared/agents", "bench/steps/1.0.0"):
        (root / directory).mkdir(parents=True)
    (root / "_shared/agents/researcher.yaml").write_text(_MANIFEST)
    (root / "bench/pack.yaml").write_text(_PACK)
    steps = "".join(
        f"      - {{id: s{n}, agent: researcher, capability: research.query, input_template: {{topic: trust {n}}}}}\n"
        for n in range(STEPS)
    )
    (root / "bench/steps/1.0.0/scenario.yaml").write_text(_SCENARIO + steps)


async def _measure(running: Server) -> list[float]:
    # With room for one run at a time the second waits, so that its subscribers are there before its first event.
    first, second = await running.submit("bench/steps@1.0.0"), await running.submit("bench/steps@1.0.0")
    lags: list[float] = []
    streams = [asyncio.create_task(_subscribe(running, second, lags)) for _ in range(SUBSCRIBERS)]
    await running.follow(first)
    counts = await asyncio.gather(*streams)
    if len(set(counts)) != 1:
        raise RuntimeError(f"subscribers saw different numbers of events: {sorted(set(counts))}")
    return lags


async def _subscribe(running: Server, run_id: str, lags: list[float]) -> int:
    count = 0
    async with running.http.get(f"{running.url}/runs/{run_id}/events") as response:
        async for line in response.content:
            if line.startswith(b"data: "):
                now = time.time()
                event = json.loads(line[6:])
                if event["type"] == "stream.end":
                    break
                lags.append((now - event["ts"]) * 1e3)
                count += 1
    return count
