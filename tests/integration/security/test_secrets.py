"""Secrets of a run are nowhere to be seen: not by its API, its logs, its files, nor in other processes' memory."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from aitp_playground import resources
from aitp_playground.events.model import RunEvent
from aitp_playground.hosting.bootstrap import mint_token
from aitp_playground.hosting.keys import derive_seed, installation_secret
from aitp_playground.observability.logging import configure
from aitp_playground.runs.requests import NewRun
from aitp_playground.service import Playground, playground
from aitp_playground.store.port import StoredEvent
from tests.integration.cli.shell import descendants
from tests.integration.runs.watching import DUO, unruly_playground, until
from tests.support.playground import Outcome, follow, settings_at

AGENTS = Path(__file__).parent / "agents"
API_KEY = "an-operators-key-0123456789"
RUNS = (
    ("intra-org/research-and-write@1.0.0", None),
    ("intra-org/research-and-write@1.0.0", "trust-strict"),
    ("intra-org/trust-gate@1.0.0", None),
    ("intra-org/scoped-capabilities@1.0.0", None),
    ("intra-org/fault-injection@1.0.0", None),
)


@dataclass
class Known:
    """Every secret made while it listens: name → raw bytes (seeds) or text (tokens)."""

    seeds: dict[str, bytes] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)

    def listen(self, patch: pytest.MonkeyPatch) -> None:
        def minted() -> str:
            self.tokens.append(mint_token())
            return self.tokens[-1]

        def derived(secret: bytes, org: Any, run_id: str, agent_id: str, generation: int) -> bytes:
            seed = derive_seed(secret, org, run_id, agent_id, generation)
            self.seeds[f"{run_id}/{agent_id}"] = seed
            return seed

        patch.setattr("aitp_playground.runs.conducting.agent_launch.mint_token", minted)
        patch.setattr("aitp_playground.runs.conducting.agent_launch.derive_seed", derived)

    def needles(self, *more: bytes) -> list[bytes]:
        """All of them, in every spelling in which one slips out."""
        raw = [*self.seeds.values(), *more]
        spelt = [spell(one) for one in raw for spell in _SPELLINGS]
        return [*raw, *spelt, *(token.encode() for token in self.tokens)]


_SPELLINGS: tuple[Callable[[bytes], bytes], ...] = (
    lambda raw: raw.hex().encode(),
    lambda raw: raw.hex().upper().encode(),
    lambda raw: base64.b64encode(raw).rstrip(b"="),
    lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"="),
    lambda raw: repr(raw).encode()[2:-1],
)


def found(needles: Iterable[bytes], haystack: bytes) -> set[bytes]:
    """One pass for all needles."""
    return set(re.findall(b"|".join(map(re.escape, sorted(needles, key=len, reverse=True))), haystack))


def telltales(directory: Path, overheard: Path) -> Path:
    """The shipped scenarios, played by the shipped workers with an ear at their tokens."""
    scenarios = directory / "scenarios"
    shutil.copytree(resources.scenarios_dir(), scenarios)
    shutil.copytree(AGENTS / "telltale", directory / "agents" / "telltale")
    for manifest in (scenarios / "_shared" / "agents").glob("*.yaml"):
        document = yaml.safe_load(manifest.read_text(encoding="utf-8"))
        spec = document["spec"]
        package = spec["entrypoint"]["value"].removesuffix(".main")
        spec["entrypoint"]["value"] = "telltale.main"
        spec.setdefault("host", {})["env"] = {"TELLTALE": package, "TELLTALE_OUT": str(overheard)}
        manifest.write_text(yaml.safe_dump(document), encoding="utf-8")
    return scenarios


def processes() -> bytes:
    """Arguments and environments of every process that can be looked into."""
    seen = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            for name in ("cmdline", "environ"):
                try:
                    seen.append((entry / name).read_bytes())
                except (OSError, ValueError):
                    continue
    return b"\n".join(seen)


def contents(directory: Path, but: set[Path]) -> bytes:
    """All files below a directory."""
    return b"\n".join(path.read_bytes() for path in directory.rglob("*") if path.is_file() and path not in but)


def readable_by_others(directory: Path) -> list[Path]:
    return [path for path in (directory, *directory.rglob("*")) if path.stat().st_mode & 0o077]


async def told(url: str, http: aiohttp.ClientSession, path: str) -> bytes:
    async with http.get(url + path) as answer:
        assert answer.status == 200, (path, await answer.text())
        return await answer.read()


async def everything_told(url: str, runs: list[Outcome]) -> bytes:
    """Whatever the API says of these runs and of itself."""
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {API_KEY}"}) as http:
        paths = ["/runs?limit=1000", "/metrics", "/agents", "/scenarios", "/packs", "/readyz", "/capabilities"]
        for run in runs:
            paths += [f"/runs/{run.run_id}{part}" for part in ("", "/status", "/narrate", "/events")]
            paths += [f"/runs/{run.run_id}/agents/{ready.get('agent_id')}/log" for ready in run.of("agent.ready")]
        return b"\n".join(await asyncio.gather(*(told(url, http, path) for path in paths)))


async def all_runs(running: Playground) -> list[Outcome]:
    submitted = [
        await running.directory.submit(NewRun(scenario_ref=ref, template=template, idempotency_key=f"key {position}"))
        for position, (ref, template) in enumerate(RUNS)
    ]
    outcomes = await asyncio.gather(*(follow(running, one.row.header.run_id) for one in submitted))
    assert [outcome.status for outcome in outcomes] == ["success"] * len(RUNS)
    return outcomes


@pytest.mark.parametrize("launcher", ["fork", "exec"])
async def test_no_secret_of_any_run_is_in_anything_that_can_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    known, during = Known(), [b""]
    known.listen(monkeypatch)
    overheard, log, temporary = tmp_path / "overheard", tmp_path / "service.log", tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    settings = settings_at(
        tmp_path,
        scenarios_dir=str(telltales(tmp_path / "pack", overheard)),
        playground_api_keys=API_KEY,
        log_level="DEBUG",
        agent_launcher=launcher,
    )

    def look_around(event: RunEvent, _: StoredEvent) -> None:
        if event.type in {"agent.ready", "handshake.started", "capability.invoked"}:
            during.append(processes())

    with log.open("wb") as stream:
        logs = configure("DEBUG", "json", stream)
        try:
            observers = [look_around, lambda _, stored: logs.event_line(stored)]
            async with playground(settings, observers=observers) as running:
                runs = await all_runs(running)
                visible = await everything_told(running.url, runs)
        finally:
            logs.close()

    for line in overheard.read_text(encoding="utf-8").splitlines():
        known.tokens += [part for part in json.loads(line) if part]
        known.tokens += [part.split(".")[2] for part in json.loads(line) if part]
    written = contents(tmp_path, but={settings.state_dir / "identity.secret", overheard})
    haystack = b"\n".join([visible, written, *during])
    needles = known.needles(installation_secret(settings.state_dir))

    assert len(known.seeds) == sum(len(run.of("agent.ready")) for run in runs)
    assert sum(token.startswith("eyJ") for token in known.tokens) > 2 * len(RUNS)
    assert all(run.run_id.encode() in part for run in runs for part in (visible, log.read_bytes()))
    # A new interpreter shows what it is to run; a fork goes on under its server's arguments.
    assert any((b"telltale.main" if launcher == "exec" else b"base.process.forkserver") in seen for seen in during)
    assert found([*needles, API_KEY.encode()], haystack) == set()
    assert readable_by_others(settings.state_dir) == []


def memory(pid: int) -> Iterator[bytes]:
    """What a process holds in writable memory."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as mem:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            where, rights, *_ = line.split()
            if not rights.startswith("rw") or "[vvar" in line:
                continue
            begin, end = (int(edge, 16) for edge in where.split("-"))
            try:
                mem.seek(begin)
                yield mem.read(end - begin)
            except OSError:
                continue


@pytest.mark.skipif(not Path("/proc/self/mem").exists() or os.geteuid() != 0, reason="only root sees into processes")
async def test_no_process_holds_the_keys_of_an_agent_but_that_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Known()
    known.listen(monkeypatch)
    async with unruly_playground(tmp_path) as running:
        for _ in range(2):
            submitted = await running.directory.submit(
                NewRun(scenario_ref=DUO, inputs={"act": "sleep", "seconds": 600})
            )
            await until(running, submitted.row.header.run_id, "step.complete")
        owners = {f"{row.run_id}/{row.agent_id}": row.pid for row in running.directory.agents()}
        holders: dict[str, set[int]] = {name: set() for name in known.seeds}
        others = descendants(os.getpid())
        for pid in others:
            content = b"\0".join(memory(pid))
            for name, seed in known.seeds.items():
                if seed in content or any(spell(seed) in content for spell in _SPELLINGS):
                    holders[name].add(pid)
        for row in running.directory.agents():
            await running.directory.cancel(row.run_id)
    assert len(owners) == 4
    assert len(others) > len(owners), "the fork server and its waiting children were looked into too"
    assert all(holders[name] <= {owners[name]} for name in owners), (holders, owners)
    assert any(holders.values()), "nobody held anything: nothing was looked at"
