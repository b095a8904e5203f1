"""Checks that take the service itself: scenarios, Control Plane, agents. They need the SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from aitp_playground.cli.doctor.findings import Finding, error, ok, warning
from aitp_playground.config import Settings
from aitp_playground.cp_client.client import CpClient
from aitp_playground.errors import ConfigurationError, PlaygroundError
from aitp_playground.hosting.launcher import AgentLauncher
from aitp_playground.net import client_session
from aitp_playground.runs.requests import NewRun
from aitp_playground.scenarios.catalog import Catalog
from aitp_playground.service import playground
from aitp_playground.steps import STEP_TYPES

#: A scenario of two agents that says most about an installation in the shortest time.
TRIAL = "intra-org/trust-gate@1.0.0"
TRIAL_SECONDS = 60.0


async def scenarios(settings: Settings) -> AsyncIterator[Finding]:
    """Whether there is something to run."""
    missing = [str(root) for root in settings.scenario_roots if not root.is_dir()]
    if missing:
        advice = "set SCENARIOS_DIR to the directories that hold packs, separated by ':', or leave it unset"
        yield error("scenarios", f"SCENARIOS_DIR names {', '.join(missing)}, which is no directory", advice)
    found, errors = await Catalog(settings.scenario_roots, STEP_TYPES).scenarios()
    if errors:
        first = errors[0].as_listed()
        broken = f"{first['file']}:{first['line']}: {first['message']}"
        yield warning(
            "scenarios",
            f"{len(found)} can be run, {len(errors)} files cannot be used: {broken}",
            "aitp-playground lint says all of it",
        )
    elif not found and not missing:
        yield warning("scenarios", "there are none", "aitp-playground new PACK/SCENARIO makes one")
    elif not missing:
        yield ok("scenarios", f"{len(found)} can be run")


async def control_plane(settings: Settings) -> AsyncIterator[Finding]:
    """Whether the Control Plane that is configured answers, and takes the key."""
    if not settings.cp_base_url:
        yield ok("Control Plane", "none is configured, and none is needed")
        return
    where = settings.cp_base_url
    async with client_session() as http, AsyncExitStack() as stack:
        try:
            client = CpClient(settings, http)
        except ConfigurationError as failure:
            yield error("Control Plane", failure.message, "see above")
            return
        stack.push_async_callback(client.close)
        looked = await client.list_webhooks.outcome()  # a question that takes the key
        if looked.reason == "unauthorized":
            yield warning("Control Plane", f"{where} refuses CP_API_KEY", "set CP_API_KEY to a key that it knows")
            return
        if looked.reason is not None:
            yield warning(
                "Control Plane",
                f"{where} does not do its part: {looked.reason}",
                "see that it runs and CP_BASE_URL is its address; runs go on without it, unproven where they need it",
            )
            return
        listed = await client.fetch_revocation_list.outcome()
        if listed.reason is not None:
            advice = "set CP_AID to the AID that its operator tells you; its list counts for nothing until it verifies"
            yield warning("Control Plane", f"the revocation list of {where} is not accepted: {listed.reason}", advice)
            return
    yield ok("Control Plane", f"{where} answers, takes the key, and its revocation list verifies")


async def agents(settings: Settings) -> AsyncIterator[Finding]:
    """Whether two agents start, shake hands and work: a run, in a history of its own that is not kept."""
    quiet = settings.model_copy(
        update={
            "host": "127.0.0.1",
            "port": 0,
            "run_history_db": ":memory:",
            "cp_base_url": "",
            "playground_api_keys": (),
        }
    )
    try:
        async with asyncio.timeout(TRIAL_SECONDS):
            async with playground(quiet, recover=False, launcher=AgentLauncher.from_settings(quiet)) as running:
                submitted = await running.directory.submit(NewRun(scenario_ref=TRIAL))
                run_id = submitted.row.header.run_id
                async for _ in running.directory.stream(run_id):
                    pass
                view = await running.directory.view(run_id, events=False)
    except (PlaygroundError, TimeoutError, OSError) as failure:
        said = (
            failure.message if isinstance(failure, PlaygroundError) else f"{type(failure).__name__} {failure}".strip()
        )
        yield error("agents", f"no trial run could be made: {said}", "see above; LOG_LEVEL=DEBUG says more")
        return
    if view.row.summary.status != "success":
        yield error(
            "agents", f"a trial run of {TRIAL} failed: {view.error}", f"aitp-playground run {TRIAL} shows it whole"
        )
    elif view.proof != "proven":
        yield warning(
            "agents", f"a trial run proved nothing: {view.unproven_because[0]}", f"aitp-playground run {TRIAL}"
        )
    else:
        yield ok("agents", "two of them started, were refused and let in as they should")
