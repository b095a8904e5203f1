"""Requests that a tool makes of the contract, right ones and wrong ones: every answer is one that the contract has."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from aitp_playground import api
from aitp_playground.api.contract.document import ITEM
from aitp_playground.runs.id_tokens import RunIssuer, Subject
from aitp_playground.runs.requests import NewRun
from aitp_playground.service import Playground
from tests.support.playground import VARIANTS, playground_at, run

ROOT = Path(__file__).resolve().parents[3]
KEY = "a-key-for-tests-only"
SHIPPED = ROOT / "scenarios"
ACT = "lifecycle/act@1.0.0"
REF = "intra-org/trust-gate@1.0.0"
#: Cases that are made up for each operation, beside those that its schemas lead to. ``make soak`` tries many times as
#: many, other ones each time.
ROUNDS = int(os.environ.get("ROUNDS", "0"))
EXAMPLES = 5 * max(ROUNDS, 1)
SEED = None if ROUNDS else 20_261_129
KEPT = 4


def document(*, keys: bool) -> dict[str, Any]:
    """The contract, as it is where keys are set or not: one document says both. Schemathesis takes the schema of an
    event stream for that of one frame."""
    made: dict[str, Any] = json.loads(api.openapi())
    for methods in made["paths"].values():
        for operation in methods.values():
            if {} in operation["security"]:
                operation["security"] = [{"apiKey": []}] if keys else []
            for answer in operation["responses"].values():
                for media in answer.get("content", {}).values():
                    media["schema"] = media.pop(ITEM, media["schema"])
    return made


def config(*, keys: bool, run_ids: list[str], telemetry: str, id_tokens: str) -> str:
    """As schemathesis reads it (TOML). What exists is asked for as often as what does not."""
    known = {
        "run_id": run_ids,
        "pack": [REF.partition("/")[0]],
        "versioned": [REF.partition("/")[2]],
        "agent_id": ["researcher", "writer"],
    }
    lines = [
        'hooks = "tests.support.schemathesis_hooks"',
        # A machine that is busy is no fault of the service.
        "request-timeout = 300",
        'suppress-health-check = ["too_slow"]',
        "continue-on-failure = true",
        "[auth.openapi]",
        *([f"apiKey = {{ bearer = {json.dumps(KEY)} }}"] if keys else []),
        f"telemetryToken = {{ bearer = {json.dumps(telemetry)} }}",
        f"idTokenSecret = {{ bearer = {json.dumps(id_tokens)} }}",
        *(f"[dictionaries.{name}]\nvalues = {json.dumps(values)}" for name, values in known.items()),
        "[parameters]",
        *(f'"path.{name}" = {{ dictionary = "{name}", probability = 0.5 }}' for name in known),
    ]
    for operation, more in BEYOND_A_SCHEMA.items():
        expected = json.dumps(["2xx", "401", "403", "404", "409", *more])
        lines += [
            "[[operations]]",
            f'include-operation-id = "{operation}"',
            f"checks.positive_data_acceptance.expected-statuses = {expected}",
        ]
    return "\n".join(lines) + "\n"


#: What fits its schema and is refused all the same, for a reason that no schema can say: inputs that are not those of
#: the scenario, or hold a number that JSON readers disagree on; a cursor that was not given; a batch that is not in
#: the order of its numbers.
BEYOND_A_SCHEMA = {"createRun": ["400", "422"], "listRuns": ["422"], "reportTelemetry": ["422"]}


@pytest.mark.timeout(600 + 60 * ROUNDS)
@pytest.mark.parametrize("keys", [False, True], ids=["without keys", "with keys"])
async def test_every_answer_is_one_of_the_contract(tmp_path: Path, keys: bool) -> None:
    settings: dict[str, Any] = {"playground_api_keys": KEY} if keys else {}
    async with playground_at(
        tmp_path, shutdown_grace_secs=0, scenarios_dir=f"{SHIPPED}:{VARIANTS / 'scenarios'}", **settings
    ) as running:
        run_ids = [(await run(running, REF)).run_id for _ in range(KEPT)]
        asleep, token = await sleeping(running)
        desk = running.services.id_tokens
        desk.admit("its-secret", Subject(RunIssuer("https://issuer.test/"), "worker", lambda: "nobody", lambda _: True))
        described, settled = tmp_path / "openapi.json", tmp_path / "schemathesis.toml"
        described.write_text(json.dumps(document(keys=keys)))
        settled.write_text(config(keys=keys, run_ids=run_ids, telemetry=token, id_tokens="its-secret"))
        said = await schemathesis(settled, described, running.url, NEVER_ENDS=asleep, ENDED=run_ids[0])
    asked = sum(len(methods) for methods in document(keys=keys)["paths"].values())
    assert f"Tested: {asked}" in said, said


async def sleeping(running: Playground) -> tuple[str, str]:
    """A run that goes on for longer than the test, and the token of its one agent."""
    tokens: list[str] = []
    admit = running.services.tokens.admit

    def overheard(token: str, *args: Any) -> None:
        tokens.append(token)
        admit(token, *args)

    running.services.tokens.admit = overheard  # type: ignore[method-assign]
    submitted = await running.directory.submit(NewRun(scenario_ref=ACT, inputs={"act": "sleep", "seconds": 600}))
    async for batch in running.directory.stream(submitted.row.header.run_id):
        if any(event.type == "step.started" for event in batch):
            break
    return submitted.row.header.run_id, tokens[-1]


async def schemathesis(settled: Path, described: Path, url: str, **told: str) -> str:
    """What it says. Every failure is in it, with the request that brings it about again."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(settled), "run", str(described)]
    options = ["--url", url, "--max-examples", str(EXAMPLES), *([] if SEED is None else ["--seed", str(SEED)])]
    process = await asyncio.create_subprocess_exec(
        *command,
        *options,
        cwd=settled.parent,
        env={**os.environ, **told, "NO_COLOR": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()
