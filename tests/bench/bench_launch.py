"""Launch to ready, and the private memory of a worker, for both launchers.

Run as ``python -m tests.bench.bench_launch [launches]`` from the project's root.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import sys
import time
from pathlib import Path

from aitp_playground.hosting.bootstrap import Bootstrap, Telemetry, mint_token
from aitp_playground.hosting.contract import LaunchSpec
from aitp_playground.hosting.keys import derive_seed
from aitp_playground.hosting.launcher import AgentLauncher
from aitp_playground.resources import agents_dir
from tests.integration.hosting.staging import listening, scripted


async def main(launches: int) -> None:
    """Measure every launcher with a trivial worker and with a real one."""
    for kind, fork, pool in (("warm pool", True, 4), ("cold fork", True, 0), ("exec", False, 0)):
        launcher = AgentLauncher(python=sys.executable, agents_dir=agents_dir(), pool_size=pool, fork=fork)
        began = time.perf_counter()
        await launcher.start()
        print(f"{kind}: started in {(time.perf_counter() - began) * 1e3:.0f} ms")
        for worker in ("trivial", "researcher"):
            await measure(launcher, worker, launches if fork else max(3, launches // 10))
        await launcher.close()


async def measure(launcher: AgentLauncher, worker: str, launches: int) -> None:
    """One after another, each after a pause in which the pool is filled again."""
    times, sizes = [], []
    for _ in range(launches):
        await asyncio.sleep(0.15)
        with listening() as listener:
            port = listener.getsockname()[1]
            spec = scripted(listener, "until_told_to_end") if worker == "trivial" else real(listener, port)
            began = time.perf_counter()
            process = await launcher.launch(spec)
            await process.ready()
            times.append((time.perf_counter() - began) * 1e3)
        sizes.append(private_kib(process.pid) / 1024)
        await process.stop(5)
    times.sort()
    print(
        f"  {worker}: median {statistics.median(times):.1f} ms, 95 % {times[int(len(times) * 0.95)]:.1f} ms, "
        f"private memory {statistics.median(sizes):.1f} MiB ({launches} launches)"
    )


def real(listener: socket.socket, port: int) -> LaunchSpec:
    """A researcher, as a run would start it."""
    bootstrap = Bootstrap(
        run_id="bench",
        agent_id="researcher",
        org="internal",
        seed=derive_seed(bytes(32), "internal", "bench", "researcher", 0),
        signing_suite="ed25519",
        display_name="Research Analyst",
        offered_caps=("research.query",),
        ttl_secs=7200,
        port=port,
        base_url=f"http://localhost:{port}",
        boundary="intra_org",
        admin_token=mint_token(),
        telemetry=Telemetry(url="http://127.0.0.1:9/internal/telemetry", token=mint_token()),
    )
    return LaunchSpec(
        run_id="bench",
        agent_id="researcher",
        entrypoint_type="python_module",
        entrypoint="researcher.main",
        cwd=agents_dir(),
        path=(agents_dir(),),
        bootstrap=bootstrap.encode(),
        listener=listener,
    )


def private_kib(pid: int) -> int:
    """Private_Clean + Private_Dirty of proc(5)'s smaps_rollup."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_") and "Hugetlb" not in line)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50))
