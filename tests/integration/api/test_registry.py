"""The registry over HTTP, read from real files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pytest_aiohttp import AiohttpClient

from aitp_playground.api import Backend, application
from aitp_playground.config import Settings
from aitp_playground.cp_client import CpClient
from aitp_playground.net import client_session
from aitp_playground.observability.metrics import Metrics
from aitp_playground.runs.chronicle import Chronicle
from aitp_playground.runs.directory import RunDirectory
from aitp_playground.scenarios.catalog import Catalog
from aitp_playground.scenarios.models import StepSpec

Client = TestClient[web.Request, None]

AGENT = """\
apiVersion: aitp.dev/v1
kind: AgentManifest
metadata: {id: writer, name: Writer, framework: custom, version: "1"}
spec:
  entrypoint: {type: python_module, value: writer.main}
  aitp: {offered_caps: [write.content], display_name: Writer}
"""
PACK = """\
apiVersion: aitp.dev/v1
kind: ScenarioPack
metadata: {slug: demo, name: Demo, description: For tests, tags: [a]}
"""
SCENARIO = """\
apiVersion: aitp.dev/v1
kind: ScenarioVersion
metadata: {pack: demo, scenario: first, version: "1.0", name: First, summary: One agent, tags: [small]}
spec:
  agents: [{id: writer, ref: _shared/agents/writer}]
  workflow: {steps: [{id: hello, type: meta, description: nothing}]}
"""
TEMPLATE = """\
apiVersion: aitp.dev/v1
kind: ScenarioTemplate
metadata: {name: lazy, summary: No handshakes before the workflow}
spec: {trust: {eager: false}}
"""


class Meta(StepSpec):
    type: Literal["meta"] = "meta"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "_shared/agents/writer.yaml": AGENT,
        "demo/pack.yaml": PACK,
        "demo/first/1.0/scenario.yaml": SCENARIO,
        "demo/first/1.0/templates/lazy.yaml": TEMPLATE,
        "demo/broken/1.0/scenario.yaml": SCENARIO.replace("scenario: first", "scenario: broken").replace(
            "spec:", "spce:"
        ),
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.fixture
async def client(aiohttp_client: AiohttpClient, root: Path) -> AsyncIterator[Client]:
    settings = Settings(_env_file=None)
    async with client_session() as http:
        backend = Backend(
            settings=settings,
            catalog=Catalog([root], {"meta": Meta}),
            directory=RunDirectory.__new__(RunDirectory),
            metrics=Metrics(),
            cp=CpClient(settings, http),
            chronicle=Chronicle.__new__(Chronicle),
        )
        yield await aiohttp_client(TestServer(application(backend)))


async def test_packs_are_listed_as_written(client: Client) -> None:
    assert await (await client.get("/packs")).json() == {
        "packs": [
            {
                "apiVersion": "aitp.dev/v1",
                "kind": "ScenarioPack",
                "metadata": {"slug": "demo", "name": "Demo", "description": "For tests", "tags": ["a"]},
            }
        ]
    }


async def test_a_broken_file_stands_beside_the_scenarios_and_hides_none(client: Client) -> None:
    listing = await (await client.get("/scenarios")).json()
    (scenario,) = listing["scenarios"]
    assert scenario["ref"] == "demo/first@1.0"
    assert set(scenario["metadata"]) == {"pack", "scenario", "version", "name", "summary", "tags"}
    assert listing["errors"]
    for error in listing["errors"]:
        assert set(error) == {"file", "line", "message"}
        assert "broken" in error["file"]


@pytest.mark.parametrize("path", ["/scenarios/demo/first@1.0", "/scenarios/demo/first%401.0"])
async def test_a_scenario_is_shown_with_its_templates(client: Client, path: str) -> None:
    scenario = await (await client.get(path)).json()
    assert {"apiVersion", "kind", "metadata", "spec", "templates"} <= set(scenario)
    assert {"inputs", "agents", "trust", "workflow", "templates"} <= set(scenario["spec"])
    assert scenario["spec"]["inputs"]["schema"] == {"type": "object"}
    assert scenario["templates"] == [{"name": "lazy", "summary": "No handshakes before the workflow"}]
    (shown,) = scenario["spec"]["templates"]
    assert (shown["id"], shown["name"], shown["variants"]) == ("lazy", "lazy", [])


async def test_templates_are_listed_and_shown_merged(client: Client) -> None:
    listed = await (await client.get("/scenarios/demo/first@1.0/templates")).json()
    assert [template["name"] for template in listed["templates"]] == ["lazy"]
    merged = await (await client.get("/scenarios/demo/first@1.0/templates/lazy")).json()
    assert merged["spec"]["trust"]["eager"] is False


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/scenarios/demo/first@9", 404, "scenario_not_found"),
        ("/scenarios/demo/first", 404, "scenario_not_found"),
        ("/scenarios/demo/%2e%2e%2ffirst@1.0", 404, "scenario_not_found"),
        ("/scenarios/_shared/agents@1", 404, "scenario_not_found"),
        ("/scenarios/demo/first@1.0/templates/none", 404, "template_not_found"),
        ("/scenarios/demo/first@9/templates", 404, "scenario_not_found"),
        ("/scenarios/demo/broken@1.0", 422, "registry_validation_error"),
    ],
)
async def test_what_cannot_be_shown_says_why(client: Client, path: str, status: int, code: str) -> None:
    response = await client.get(path)
    assert (response.status, (await response.json())["error"]["code"]) == (status, code)


async def test_an_edited_file_shows_at_the_next_request(client: Client, root: Path) -> None:
    await client.get("/scenarios/demo/first@1.0")
    path = root / "demo/first/1.0/scenario.yaml"
    path.write_text(SCENARIO.replace("One agent", "One agent edited"))
    scenario = await (await client.get("/scenarios/demo/first@1.0")).json()
    assert scenario["metadata"]["summary"] == "One agent edited"
