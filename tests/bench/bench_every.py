"""Every shipped scenario and template: one after another in a warm server, and all at once; without and with a Control
Plane beside it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from tests.bench.report import Figure
from tests.bench.server import Server, server

ROUNDS = 7

Each = list[tuple[str, str | None]]


async def figures() -> list[Figure]:
    """The time that all of them take, as the sum of what each took and until the last had ended."""
    found = []
    for name, arguments in (("", ()), (", with a Control Plane", ("--with-control-plane",))):
        async with server(arguments=arguments, max_concurrent_runs="64") as running:
            found += await _measure(running, name)
    return found


async def _measure(running: Server, name: str) -> list[Figure]:
    every = await _every(running)
    await _in_a_row(running, every)  # warm
    in_a_row, at_once, proofs = [], [], Counter[str]()
    for _ in range(ROUNDS):
        in_a_row.append(await _in_a_row(running, every))
        begun = time.perf_counter()
        run_ids = await asyncio.gather(*(_run(running, ref, template) for ref, template in every))
        at_once.append((time.perf_counter() - begun) * 1e3)
        for run_id in run_ids:
            proofs[(await running.get(f"/runs/{run_id}"))["proof"]] += 1
    told = ", ".join(f"{count // ROUNDS} {proof}" for proof, count in sorted(proofs.items()))
    return [
        Figure(f"{len(every)} runs one after another{name}", in_a_row, "ms"),
        Figure(f"{len(every)} runs at once{name}", at_once, "ms", note=told),
    ]


async def _every(running: Server) -> Each:
    found: Each = []
    for row in (await running.get("/scenarios"))["scenarios"]:
        ref = row["ref"]
        whole = await running.get(f"/scenarios/{ref}")
        found += [(ref, None), *((ref, template["name"]) for template in whole["templates"])]
    return found


async def _in_a_row(running: Server, every: Each) -> float:
    begun = time.perf_counter()
    for ref, template in every:
        await _run(running, ref, template)
    return (time.perf_counter() - begun) * 1e3


async def _run(running: Server, ref: str, template: str | None) -> str:
    """Raises RuntimeError unless it succeeds."""
    run_id = await running.submit(ref, **({} if template is None else {"template": template}))
    if (kind := await running.follow(run_id)) != "run.complete":
        raise RuntimeError(
            f"{ref} {template or ''} ended with {kind}: {(await running.get(f'/runs/{run_id}'))['error']}"
        )
    return run_id
