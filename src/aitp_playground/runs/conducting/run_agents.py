"""RunAgents: the agents of one run, from their launch to their end, and their introduction to each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Self

from aitp_playground.actors import ActorRef
from aitp_playground.errors import AgentCallError, LaunchError
from aitp_playground.events.model import EventDraft, draft
from aitp_playground.hosting.contract import AgentProcess, Exit
from aitp_playground.hosting.output import last_lines
from aitp_playground.hosting.ports import bind_agent_socket
from aitp_playground.hosting.worker_process import MESSAGE_CHARS
from aitp_playground.runs.board import AgentRow
from aitp_playground.runs.concurrency import ignore_failure, outlast, together
from aitp_playground.runs.conducting.agent_launch import AgentLaunch, issuers_of, prepared_launch
from aitp_playground.runs.conducting.launched_agent import LaunchedAgent
from aitp_playground.runs.id_tokens import RunIssuer, Subject
from aitp_playground.runs.messages import RunMessage
from aitp_playground.runs.services import RunServices
from aitp_playground.scenarios.entrypoints import absent_interpreter
from aitp_playground.scenarios.models import AgentSpec, ResolvedScenario
from aitp_playground.store.port import RunHeader

#: How long a dismissed agent may take to hand in its telemetry and go, before it is killed.
DISMISS_GRACE = 2.0
#: How long a call that failed waits for the news that the agent at its other end has died.
CRASH_NEWS = 0.25

Recorder = Callable[..., Awaitable[None]]


class RunAgents:
    """Async context manager: when it closes, every process it started is gone and what they printed is stored."""

    def __init__(
        self,
        run: ActorRef[RunMessage],
        header: RunHeader,
        resolved: ResolvedScenario,
        services: RunServices,
        record: Recorder,
    ) -> None:
        self._run = run
        self._header = header
        self._resolved = resolved
        self._services = services
        self._record = record
        self._agents: dict[str, LaunchedAgent] = {}
        #: How the peers were found, once they are introduced.
        self.sources: tuple[str, ...] = ()
        self._peers: dict[str, dict[str, Any]] = {}
        self._cp_aid = ""
        self._issuers: dict[str, RunIssuer] = {}
        self._processes: dict[str, AgentProcess] = {}
        self._launches: list[AgentLaunch] = []
        self._watchers: list[asyncio.Task[None]] = []
        self._died: asyncio.Future[LaunchError] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        dismissal = asyncio.create_task(self._dismiss(), name=f"dismiss:{self._header.run_id}")
        await outlast(dismissal)
        dismissal.result()

    def agent(self, agent_id: str) -> LaunchedAgent:
        """A launched agent."""
        return self._agents[agent_id]

    # -- launch --------------------------------------------------------------------------------------------------------

    async def launch(self) -> None:
        """Start every agent at once. Raises LaunchError of the first that does not get ready."""
        self._cp_aid = await self._known_cp_aid()
        self._issuers = issuers_of(self._resolved)
        for url in self._issuers:
            await self._record(draft("oidc.issuer_minted", payload={"issuer": url}))
        await together(self._launch(agent) for agent in self._resolved.scenario.spec.agents)

    async def _known_cp_aid(self) -> str:
        """Whose revocation list counts beside the issuers'. Asked for only where something hangs on it: a run that
        does not use the Control Plane must not wait for it."""
        settings = self._services.settings
        steps = self._resolved.scenario.spec.workflow.steps
        if settings.revocation_fail_mode != "fail_open" or any(getattr(step, "via_cp", False) for step in steps):
            return await self._services.cp.pinned_aid()
        return settings.cp_aid

    async def _launch(self, spec: AgentSpec) -> None:
        services, run_id = self._services, self._header.run_id
        listener = bind_agent_socket(services.settings.agent_base_port, spec.port_offset)
        with listener:
            port = listener.getsockname()[1]
            await self._record(self._spawning(spec, port))
            prepared = prepared_launch(
                self._header, self._resolved, spec, listener, services, self._cp_aid, self._issuers
            )
            self._launches.append(prepared)
            services.tokens.admit(prepared.telemetry_token, self._run, spec.id, run_id)
            agent = LaunchedAgent(spec.id, port, prepared.admin_token, services.http)
            if prepared.issuer is not None and prepared.id_secret is not None:
                subject = Subject(prepared.issuer, prepared.subject, lambda: agent.aid, self._knows)
                services.id_tokens.admit(prepared.id_secret, subject)
            services.board.put(
                AgentRow(
                    run_id=run_id,
                    agent_id=spec.id,
                    port=port,
                    pid=None,
                    aid="",
                    manifest_url=agent.manifest_url,
                    status="spawning",
                    exit_code=None,
                )
            )
            with services.metrics.launching():
                process = await services.launcher.launch(prepared.launch)
                self._processes[spec.id] = process
                services.board.update(run_id, spec.id, pid=process.pid)
                services.board.listen(run_id, spec.id, process.output)
                ready = await self._ready(spec.id, process)
        agent.aid = ready.aid
        self._agents[spec.id] = agent
        services.board.update(run_id, spec.id, aid=ready.aid, status="ready")
        self._watchers.append(asyncio.create_task(self._watch(spec.id, process), name=f"watch:{spec.id}"))
        await self._record(draft("agent.ready", agent_id=spec.id, aid=ready.aid, port=port))

    def _spawning(self, agent: AgentSpec, port: int) -> EventDraft:
        """With the labels that the files give it: they change nothing, and are for whoever watches."""
        manifest = self._resolved.manifests[agent.id]
        python = manifest.spec.host.python
        payload = {"name": manifest.metadata.name, "version": manifest.metadata.version}
        payload |= {"framework": manifest.metadata.framework, "org": agent.org}
        if agent.cloud is not None:
            payload["cloud"] = agent.cloud
        if python is not None and absent_interpreter(python):
            payload["python_missing"] = python
        return draft("agent.spawning", agent_id=agent.id, port=port, payload=payload)

    async def _ready(self, agent_id: str, process: AgentProcess) -> Any:
        try:
            return await process.ready()
        except LaunchError:
            gone = await process.wait()
            self._services.board.update(self._header.run_id, agent_id, status="crashed", exit_code=gone.code)
            raise

    async def introduce(self, peers: Mapping[str, Mapping[str, Any]]) -> None:
        """Tell each agent its peers (``PUT /admin/peers``, docs/agents.md); it accepts messages from these alone.

        ``peers``: for each agent id ``{"manifest_url", "aid"?, "source"?}``, one entry an agent of the run; without
        ``aid`` it is the one that the agent said when it was launched. ``source`` is kept for steps. All agents are
        told at once. Raises :class:`~aitp_playground.errors.AgentCallError`, the first one, when an agent does not take
        them.
        """
        self.sources = tuple(str(peer.get("source")) for peer in peers.values())
        self._peers = {agent_id: dict(peer) for agent_id, peer in peers.items()}
        await self._introduce()

    async def rotated(self, agent_id: str, aid: str) -> None:
        """An agent of this run has another AID now. All are told anew; raises as :meth:`introduce`.

        Where others speak to one from outside the run in its place, they go on with that one.
        """
        agent, peer = self._agents[agent_id], self._peers[agent_id]
        if peer.get("aid") == agent.aid:
            peer["aid"] = aid
        agent.aid = aid
        self._services.board.update(self._header.run_id, agent_id, aid=aid)
        await self._introduce()

    def _knows(self, aid: str) -> bool:
        """Whether that is the AID of somebody whom agents of this run were introduced to."""
        own = {agent.aid for agent in self._agents.values()}
        return aid in own | {str(peer.get("aid")) for peer in self._peers.values()}

    async def _introduce(self) -> None:
        peers = self._peers
        entries = [
            {
                "agent_id": agent.agent_id,
                "aid": peers[agent.agent_id].get("aid") or agent.aid,
                "manifest_url": peers[agent.agent_id]["manifest_url"],
            }
            for agent in self._agents.values()
        ]
        await together(
            agent.put("peers", {"peers": [entry for entry in entries if entry["agent_id"] != agent.agent_id]})
            for agent in self._agents.values()
        )

    # -- the watch -----------------------------------------------------------------------------------------------------

    async def watch_over(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work; an agent that dies meanwhile fails it, with its exit code and the end of its stderr."""
        task = asyncio.create_task(work, name=f"perform:{self._header.run_id}")
        try:
            await asyncio.wait(self._first_of(task), return_when=asyncio.FIRST_COMPLETED)
            if task.done() and self._lost_contact(task.exception()):
                await asyncio.wait({self._died}, timeout=CRASH_NEWS)
        finally:
            task.cancel()
            await outlast(task)
            failure = None if task.cancelled() else task.exception()
        if self._died.done():
            raise self._died.result()
        if failure is not None:
            raise failure

    def _first_of(self, task: asyncio.Task[None]) -> set[asyncio.Future[Any]]:
        return {task, self._died}

    @staticmethod
    def _lost_contact(failure: BaseException | None) -> bool:
        """The failure may be the echo of an agent's death: no answer, or that of another agent on its port."""
        cause = failure.__cause__ if failure is not None and failure.__cause__ is not None else failure
        echoes = {"agent_unreachable", "unauthorized"}
        return isinstance(cause, AgentCallError) and (cause.transport or cause.refusal in echoes)

    async def _watch(self, agent_id: str, process: AgentProcess) -> None:
        gone = await process.wait()
        self._services.board.update(self._header.run_id, agent_id, status="crashed", exit_code=gone.code)
        if not self._died.done():
            self._died.set_result(_death(agent_id, gone, process.output()))

    # -- the end -------------------------------------------------------------------------------------------------------

    async def _dismiss(self) -> None:
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        try:
            await together(self._dismiss_one(agent_id, process) for agent_id, process in self._processes.items())
        finally:
            for prepared in self._launches:
                self._services.tokens.forget(prepared.telemetry_token)
                if prepared.id_secret is not None:
                    self._services.id_tokens.forget(prepared.id_secret)

    async def _dismiss_one(self, agent_id: str, process: AgentProcess) -> None:
        gone = await process.stop(DISMISS_GRACE)
        run_id, board = self._header.run_id, self._services.board
        if not board.crashed(run_id, agent_id):
            board.update(run_id, agent_id, status="exited", exit_code=gone.code)
        ignore_failure(self._services.store.save_agent_log(run_id, agent_id, process.output()))


def _death(agent_id: str, gone: Exit, output: str) -> LaunchError:
    how = f"was killed by signal {-gone.code}" if gone.code < 0 else f"exited with code {gone.code}"
    tail = output[-2000:].strip()
    end = last_lines(output, MESSAGE_CHARS)
    message = f"agent {agent_id} {how} in the middle of the run"
    return LaunchError(
        f"{message}; it last printed: {end}" if end else message,
        details={"agent_id": agent_id, "exit_code": gone.code, "stderr": tail},
    )
