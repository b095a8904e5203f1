"""A real Prometheus with the shipped configuration: it gets in, its rules are sound, and the dashboard has answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.support.playground import playground_at, run

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PATIENCE = 300.0
KEY = "a-key-of-its-own"

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed (Debian: apt-get install prometheus)"
)


def configured(directory: Path, target: str, key: str) -> Path:
    """The example, with this target and key, and as quick as can be."""
    (directory / "key").write_text(f"{key}\n")
    shutil.copy(DEPLOY / "prometheus/alerts.yaml", directory)
    document = yaml.safe_load((DEPLOY / "prometheus/prometheus.yaml").read_text())
    document["global"] = dict.fromkeys(document["global"], "1s")
    [scraped] = document["scrape_configs"]
    scraped["authorization"]["credentials_file"] = str(directory / "key")
    scraped["static_configs"] = [{"targets": [target]}]
    made = directory / "prometheus.yaml"
    made.write_text(yaml.safe_dump(document))
    return made


def free_port() -> int:
    """Below those that the system hands out by itself, or somebody has it before Prometheus does."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


@contextlib.asynccontextmanager
async def prometheus(configuration: Path) -> AsyncIterator[str]:
    """Its address, on this machine alone."""
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={configuration.parent / 'data'}"]
    with (configuration.parent / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, f"--web.listen-address={address}", stdout=log, stderr=log
        )
    try:
        yield f"http://{address}"
    finally:
        process.kill()
        await process.wait()


async def asked(http: aiohttp.ClientSession, url: str, path: str, **query: str) -> Any:
    """The data of an answer; None as long as it is not there, or begins."""
    try:
        async with http.get(f"{url}/api/v1/{path}", params=query) as answer:
            if answer.status == 503:
                return None
            document = await answer.json()
    except aiohttp.ClientConnectionError:
        return None
    assert document["status"] == "success", document
    return document["data"]


async def target_of(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """Once it has been asked."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await asked(http, url, "targets")
            for target in (found or {}).get("activeTargets", []):
                if target["health"] != "unknown":
                    known: dict[str, Any] = target
                    return known
            await asyncio.sleep(0.05)


def expressions() -> list[str]:
    """Of the dashboard, as Grafana sends them; of those that leave out what is 0 the rest."""
    panels = json.loads((DEPLOY / "grafana/aitp-playground.json").read_text())["panels"]
    found = [target["expr"].removesuffix(" > 0") for panel in panels for target in panel.get("targets", ())]
    chosen = {"$__rate_interval": "1m", "$job": "aitp-playground", "$instance": ".*"}
    for name, value in chosen.items():
        found = [text.replace(name, value) for text in found]
    return found


async def test_prometheus_scrapes_with_its_key_and_every_panel_has_an_answer(tmp_path: Path) -> None:
    async with (
        playground_at(tmp_path, playground_api_keys=f"another,{KEY}") as running,
        prometheus(configured(tmp_path, running.url.removeprefix("http://"), KEY)) as url,
        aiohttp.ClientSession() as http,
    ):
        target = await target_of(http, url)
        assert (target["health"], target["lastError"]) == ("up", "")
        assert (await run(running, "intra-org/trust-gate@1.0.0")).status == "success"
        missing = set(expressions())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while missing:
                    missing -= {one for one in missing if (await asked(http, url, "query", query=one))["result"]}
                    await asyncio.sleep(0.1)
        assert not missing
        # Of a machine that is busy or full the others may have something to say.
        quiet = {"AitpPlaygroundDown", "AitpPlaygroundStoreUnwritable", "AitpPlaygroundControlPlaneAway"}
        async with asyncio.timeout(PATIENCE):
            while quiet - await quiet_rules(http, url):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert {health for health, _ in (await rules(http, url)).values()} == {"ok"}


async def quiet_rules(http: aiohttp.ClientSession, url: str) -> set[str]:
    return {name for name, (_, state) in (await rules(http, url)).items() if state == "inactive"}


async def rules(http: aiohttp.ClientSession, url: str) -> dict[str, tuple[str, str]]:
    """Name → health and state."""
    found = await asked(http, url, "rules")
    return {rule["name"]: (rule["health"], rule["state"]) for group in found["groups"] for rule in group["rules"]}


async def test_with_another_key_it_is_turned_away_and_the_first_alert_begins(tmp_path: Path) -> None:
    async with (
        playground_at(tmp_path, playground_api_keys=KEY) as running,
        prometheus(configured(tmp_path, running.url.removeprefix("http://"), "none-of-them")) as url,
        aiohttp.ClientSession() as http,
    ):
        target = await target_of(http, url)
        assert target["health"] == "down"
        assert "401" in target["lastError"]
        async with asyncio.timeout(PATIENCE):
            while not (pending := (await asked(http, url, "alerts"))["alerts"]):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert {alert["labels"]["alertname"] for alert in pending} == {"AitpPlaygroundDown"}
