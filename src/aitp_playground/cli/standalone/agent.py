"""An agent without a run: launched, told whom to accept, kept in the registry, taken out of it and ended."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import structlog

from aitp_playground import private_files, resources
from aitp_playground.cli.exits import FAILED, SUCCESS
from aitp_playground.cli.process.parent import end_with_parent
from aitp_playground.cli.process.signals import Interrupts
from aitp_playground.cli.process.startup import imported
from aitp_playground.cli.standalone.enrolment import Enrolment, unanswered
from aitp_playground.cli.standalone.order import ANY_VERIFIED, Standalone
from aitp_playground.cli.standalone.telemetry_log import telemetry_sink
from aitp_playground.cli.terminal.announcements import Announcements
from aitp_playground.config import Settings
from aitp_playground.cp_client.client import CpClient
from aitp_playground.errors import AgentCallError, AgentManifestNotFound, ConfigurationError, RegistryInvalid
from aitp_playground.hosting.bootstrap import Bootstrap, ControlPlane, Telemetry, mint_token
from aitp_playground.hosting.contract import AgentProcess
from aitp_playground.hosting.keys import derive_seed, installation_secret
from aitp_playground.hosting.launcher import AgentLauncher
from aitp_playground.hosting.launches import launch_of, revocation_of
from aitp_playground.hosting.privacy import keep_private
from aitp_playground.net import client_session
from aitp_playground.observability.logging import configure
from aitp_playground.runs.conducting.agent_launch import language_model
from aitp_playground.runs.conducting.launched_agent import LaunchedAgent
from aitp_playground.scenarios.findings import nearest
from aitp_playground.scenarios.manifests import MANIFEST_DIR, ManifestFile, Manifests
from aitp_playground.scenarios.models import AgentManifest

#: Stands where agents of a run have its id, so that the key stays the same from start to start.
RUN_ID: Final = "standalone"
GRACE: Final = 2.0
ENROLMENT_SECONDS: Final = 30.0

log = structlog.get_logger(__name__)


async def run(settings: Settings, order: Standalone) -> int:
    """The exit code. Raises the errors of :mod:`aitp_playground.errors`."""
    imported()
    keep_private()
    manifest, agents_root = find_manifest(order.manifest, settings)
    logs = configure(settings.log_level, settings.log_format)
    if manifest.spec.llm and (missing := settings.missing_model_package):
        log.warning("language_model.not_installed", hint=missing)
    try:
        async with AsyncExitStack() as stack:
            interrupts = stack.enter_context(Interrupts())
            end_with_parent(interrupts)
            http = await stack.enter_async_context(client_session())
            cp = CpClient(settings, http)
            stack.push_async_callback(cp.close)
            telemetry = await stack.enter_async_context(telemetry_sink())
            launcher = AgentLauncher(python=settings.python, agents_dir=resources.agents_dir(), fork=False)
            stack.push_async_callback(launcher.close)
            listener = stack.enter_context(_listener(order.port))
            bootstrap = _bootstrap(settings, order, manifest, listener, telemetry, cp, await cp.pinned_aid())
            named = f"the manifest {manifest.metadata.id}"
            process = await launcher.launch(launch_of(manifest.spec, named, agents_root, bootstrap, listener))
            stack.push_async_callback(process.stop, GRACE)
            agent = LaunchedAgent(bootstrap.agent_id, bootstrap.port, bootstrap.admin_token, http)
            agent.aid = (await process.ready()).aid
            listener.close()
            announcements = Announcements()
            stack.push_async_callback(asyncio.to_thread, announcements.close)
            return await _attend(agent, process, cp, order, manifest.spec.aitp.ttl_secs, interrupts, announcements.say)
    finally:
        await asyncio.to_thread(logs.close)


async def _attend(
    agent: LaunchedAgent,
    process: AgentProcess,
    cp: CpClient,
    order: Standalone,
    ttl: float,
    interrupts: Interrupts,
    tell: Callable[[str], None],
) -> int:
    """Until somebody asks for the end, or the agent meets its own."""
    named = [aid for aid in order.accept if aid != ANY_VERIFIED]
    await agent.put("peers", {"peers": [{"agent_id": aid, "aid": aid} for aid in named]})
    tell(f"agent {agent.agent_id} listens on {agent.base_url}")
    tell(f"AID={agent.aid}")
    if not order.accept:
        log.warning("agent.accepts_nobody", hint="nobody may shake hands with it: --accept says who may")

    async def enrol() -> Mapping[str, Any]:
        try:
            return await agent.post("enroll-with-cp", {"namespace": order.namespace}, timeout=ENROLMENT_SECONDS)
        except AgentCallError as failure:
            return {"error": failure.message}

    enrolment = Enrolment(enrol, cp.base_url, ttl, tell)
    tasks = [asyncio.create_task(process.wait()), asyncio.create_task(interrupts.asked.wait())]
    if order.enroll:
        tasks.append(asyncio.create_task(enrolment.keep()))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if enrolment.done:
        left = await cp.deregister_agent.outcome(agent.aid)
        silence = unanswered(cp.base_url, left.reason)
        kept = (
            f"may be registered until its manifest expires: {silence}"
            if silence
            else (f"still registered at {cp.base_url} until its manifest expires ({left.reason})")
        )
        tell("deregistered" if left.value else kept)
    if interrupts.asked.is_set():
        return SUCCESS
    code = (await process.wait()).code
    log.error("agent.ended", code=code, hint=f"the agent ended with code {code}", output=process.output())
    return FAILED


def find_manifest(name: str, settings: Settings) -> tuple[AgentManifest, Path]:
    """The manifest and the agents directory that goes with it. Raises AgentManifestNotFound, RegistryInvalid."""
    path = Path(name)
    if path.is_file():
        in_place = path.resolve().parent
        root = in_place.parents[1] if in_place.match(MANIFEST_DIR) else in_place
        return _checked(name, Manifests([root]).read(path.resolve(), root)), _agents_root(root)
    wanted = name.removeprefix(f"{MANIFEST_DIR}/")
    for root in settings.scenario_roots:
        file = root / MANIFEST_DIR / f"{wanted}.yaml"
        if file.parent == root / MANIFEST_DIR and file.is_file():
            return _checked(name, Manifests([root]).read(file, root)), _agents_root(root)
    folders = [root / MANIFEST_DIR for root in settings.scenario_roots]
    hint = nearest(wanted, {file.stem for folder in folders for file in folder.glob("*.yaml")})
    raise AgentManifestNotFound(
        f"{name} is neither a file nor a manifest in {MANIFEST_DIR} of a scenarios directory{hint}"
    )


def _checked(name: str, file: ManifestFile) -> AgentManifest:
    if file.manifest is None:
        first = file.findings[0]
        raise RegistryInvalid(f"{name} cannot be used: {first.file}:{first.line} {first.field} {first.message}")
    if file.manifest.spec.aitp.identity_type != "pinned_key":
        raise RegistryInvalid(f"{name}: only agents with a pinned_key identity run on their own")
    return file.manifest


def _agents_root(root: Path) -> Path:
    beside = root.resolve().parent / "agents"
    return beside if beside.is_dir() else resources.agents_dir()


def _record_dir(settings: Settings) -> Path:
    """Where the agent keeps what it revoked: it must be refused by the next one with its key, too."""
    try:
        return private_files.directory(settings.state_dir / "agents")
    except OSError as failure:
        raise ConfigurationError(f"STATE_DIR: {failure.filename} cannot be used: {failure.strerror}") from failure


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port), backlog=128)
    except OSError as failure:
        raise ConfigurationError(
            f"cannot listen on port {port}: {failure.strerror}; choose another --port"
        ) from failure


def _bootstrap(
    settings: Settings,
    order: Standalone,
    manifest: AgentManifest,
    listener: socket.socket,
    telemetry: Telemetry,
    cp: CpClient,
    cp_aid: str,
) -> Bootstrap:
    face, port = manifest.spec.aitp, listener.getsockname()[1]
    secret = installation_secret(settings.state_dir)
    return Bootstrap(
        run_id=RUN_ID,
        agent_id=manifest.metadata.id,
        org="external",
        seed=derive_seed(secret, "external", RUN_ID, manifest.metadata.id, 0),
        signing_suite=face.signing_suite,
        display_name=face.display_name,
        offered_caps=face.offered_caps,
        ttl_secs=face.ttl_secs,
        redelegation=face.redelegation,
        port=port,
        base_url=f"http://localhost:{port}",
        did_web_host="localhost" if manifest.spec.did_web else None,
        boundary="cross_org",
        admin_token=mint_token(),
        telemetry=telemetry,
        cp=ControlPlane(url=cp.base_url, aid=cp_aid or None) if cp.enabled else None,
        revocation=replace(revocation_of(settings), record_dir=str(_record_dir(settings))),
        llm=language_model(settings) if manifest.spec.llm else None,
        accept="any-verified" if ANY_VERIFIED in order.accept else "introduced",
    )
