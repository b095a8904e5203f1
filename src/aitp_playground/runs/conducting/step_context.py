"""RunContext: what one step sees of its run. Implements :class:`~aitp_playground.steps.base.StepContext`."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import structlog

from aitp_playground.actors import ActorRef, AskTimeout
from aitp_playground.cp_client.reasons import Outcome
from aitp_playground.errors import StepError
from aitp_playground.events.model import draft
from aitp_playground.net import FetchFailed, fetch_document
from aitp_playground.runs.concurrency import being_cancelled
from aitp_playground.runs.conducting.launched_agent import LaunchedAgent, flush
from aitp_playground.runs.conducting.run_agents import RunAgents
from aitp_playground.runs.messages import Reached, Record, RunMessage, Stored
from aitp_playground.runs.services import RunServices
from aitp_playground.scenarios.models import Fault, ResolvedScenario
from aitp_playground.scenarios.providers import provider
from aitp_playground.scenarios.render import declared_inputs, render
from aitp_playground.steps import Step
from aitp_playground.steps.workflow import WorkflowStep
from aitp_playground.store.port import RunHeader

log = structlog.get_logger(__name__)

RECORD_TIMEOUT = 30.0
#: How long an agent may take to hand in telemetry while the store takes what it is given.
TELEMETRY_WAIT = 5.0
#: Longer than the store itself waits for a database that somebody else has locked.
STORE_WAIT = 60.0
FETCH_TIMEOUT = 5.0
MAX_DOCUMENT = 64 * 1024
#: What every event of a step carries, and what its start and end say besides.
_ANYWHERE = ("agent", "capability")
_LABELS = (*_ANYWHERE, "initiator")


def fault_for(injection: Mapping[str, Any], target: str) -> Fault | None:
    """The fault a run was started with for calls aimed at ``target``."""
    for kind, targets in injection.items():
        if target in targets:
            return Fault(kind=kind, note="injected by the request")
    return None


class _LoggedAgent:
    """An agent's handle whose answers come after what they tell of: the agent's telemetry is in the log first."""

    def __init__(self, ctx: RunContext, agent_id: str) -> None:
        self._ctx = ctx
        self._agent = ctx.agents.agent(agent_id)
        self.agent_id = agent_id
        self.aid = self._agent.aid
        self.base_url = self._agent.base_url
        self.manifest_url = self._agent.manifest_url

    async def post(self, route: str, body: Mapping[str, Any], *, timeout: float | None = None) -> dict[str, Any]:
        try:
            return await self._agent.post(route, body, timeout=timeout)
        finally:
            if not being_cancelled():
                await self._ctx.caught_up(self._agent)


class RunContext:
    """A window for one step (or, without a step, for the eager trust before the workflow)."""

    def __init__(
        self,
        run: ActorRef[RunMessage],
        header: RunHeader,
        resolved: ResolvedScenario,
        agents: RunAgents,
        outputs: Mapping[str, Any],
        services: RunServices,
        step: Step | None = None,
        lacking: str | None = None,
        apart: Collection[frozenset[str]] = (),
    ) -> None:
        self.run_id = header.run_id
        self.scenario = resolved.scenario
        self.inputs = header.inputs
        self.outputs = outputs
        self.agents = agents
        self.sources = agents.sources
        self.lacking = lacking
        self.apart = apart
        self.cp = services.cp
        self._services = services
        self._run = run
        self._header = header
        self._resolved = resolved
        self._step = step
        self._dead_ends: list[socket.socket] = []
        #: Agents whose telemetry is not complete: what they did meanwhile may be missing in the log.
        self.unheard: set[str] = set()

    async def record(self, event_type: str, /, **fields: Any) -> None:
        """Append an event; with a step, it carries its id, and its agent and capability where it has them."""
        if self._step is not None:
            fields = {"step_id": self._step.id, **self._named(_ANYWHERE), **fields}
        await self._run.ask(Record((draft(event_type, **fields),)), timeout=RECORD_TIMEOUT)

    def labels(self) -> dict[str, Any]:
        """What the first and the last event of this step say about it."""
        assert self._step is not None
        return {**self._named(_LABELS), "step_type": self._step.type}

    def _named(self, names: Iterable[str]) -> dict[str, Any]:
        return {name: getattr(self._step, name) for name in names if getattr(self._step, name, None)}

    def agent(self, agent_id: str) -> _LoggedAgent:
        """A launched agent."""
        return _LoggedAgent(self, agent_id)

    async def rotated(self, agent_id: str, aid: str) -> None:
        """Introduce an agent that has another AID now to all others."""
        await self.agents.rotated(agent_id, aid)

    async def hear(self, agent_id: str) -> None:
        """Have an agent that was called hand in its telemetry."""
        if being_cancelled():
            return
        agent = self.agents.agent(agent_id)
        while not await flush(agent, TELEMETRY_WAIT):
            if not await self._was_storing():
                self._miss(agent)
                return
        await self.caught_up(agent)

    async def caught_up(self, agent: LaunchedAgent) -> None:
        """Wait until the log holds what ``agent`` had emitted when it last answered.

        An agent hands in one batch after another, each answered when it is on disk: what a slow disk holds up is waited
        for; an agent that says nothing while nothing is held up is not.
        """
        while True:
            try:
                await self._run.ask(Reached(agent.agent_id, agent.emitter_seq), timeout=TELEMETRY_WAIT)
            except AskTimeout:
                if await self._was_storing():
                    continue
                self._miss(agent)
            return

    async def _was_storing(self) -> bool:
        """Wait for the disk; whether there was anything to wait for. The step's own limit bounds it."""
        waited: bool = await self._run.ask(Stored(), timeout=STORE_WAIT)
        return waited

    def _miss(self, agent: LaunchedAgent) -> None:
        log.warning("telemetry.late", agent_id=agent.agent_id, emitter_seq=agent.emitter_seq)
        self.unheard.add(agent.agent_id)

    async def fetch_text(self, url: str) -> str:
        """A document of an agent's, as anybody gets it."""
        try:
            raw = await fetch_document(self._services.http, url, seconds=FETCH_TIMEOUT, limit=MAX_DOCUMENT)
            return raw.decode()
        except FetchFailed as failure:
            raise StepError(str(failure)) from failure
        except UnicodeDecodeError as failure:
            raise StepError(f"{url} could not be fetched ({type(failure).__name__})") from failure

    async def flush_to_cp(self) -> str | None:
        """Report the run so far; None when the Control Plane has it, else the reason class."""
        assert self._services.reporting is not None
        return await self._services.reporting.flush(self.run_id)

    async def subscribe_webhook(self, events: Sequence[str]) -> Outcome[dict[str, Any] | None]:
        """Have the Control Plane call this run back."""
        assert self._services.leftovers is not None
        return await self._services.leftovers.subscribe(self.run_id, events)

    async def leave_at_cp(self, kind: str, name: str) -> None:
        """Remember what this run leaves at the Control Plane."""
        assert self._services.leftovers is not None
        await self._services.leftovers.leave(self.run_id, kind, name)

    def known_by(self, agent_id: str) -> str:
        """The identity type of an agent of this scenario, as its manifest file says."""
        return self._resolved.manifests[agent_id].spec.aitp.identity_type

    def partner(self) -> str | None:
        """Who answers the call of this step, if it is one."""
        step = self._step
        return self.provider(step.agent, step.capability) if isinstance(step, WorkflowStep) else None

    def offers(self, agent_id: str) -> tuple[str, ...]:
        """What an agent of this scenario offers, as its manifest file says."""
        return self._resolved.manifests[agent_id].spec.aitp.offered_caps

    def provider(self, caller: str, capability: str) -> str:
        """The caller when it offers the capability, else the first agent in scenario order that does."""
        found = provider(self.scenario, self._resolved.manifests, caller, capability)
        if found is None:
            raise StepError(f"no agent of this scenario offers {capability}")
        return found

    def step_input(self) -> dict[str, Any]:
        """This step's input, else all inputs of the run; text from a template is given as ``{"prompt": text}``."""
        source = getattr(self._step, "input_from", None)
        if source is not None:
            if source not in self.outputs:
                raise StepError(f"input_from: step {source} left no output")
            return dict(self.outputs[source])
        template = getattr(self._step, "input_template", None)
        if template is None:
            return dict(self.inputs)
        declared = declared_inputs(self.scenario.spec.inputs.json_schema)
        rendered = render(template, self.inputs, declared)
        return rendered if isinstance(rendered, dict) else {"prompt": rendered}

    def fault(self, declared: Fault | None, target: str) -> Fault | None:
        """The step's own fault, else the one the run was started with for this target."""
        return declared or fault_for(self._header.fault_injection, target)

    def faulted_url(self, kind: str, agent_id: str) -> str:
        """A manifest URL of that agent that really fails, until :meth:`close`."""
        url = self.agents.agent(agent_id).manifest_url
        if kind == "manifest_404":
            return f"{url}-missing"
        # Bound and not listening: connections are refused, and nobody else can take the port meanwhile.
        dead_end = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._dead_ends.append(dead_end)
        dead_end.bind(("127.0.0.1", 0))
        return f"http://localhost:{dead_end.getsockname()[1]}/.well-known/aitp-manifest"

    def close(self) -> None:
        """Give the dead ends back."""
        for dead_end in self._dead_ends:
            dead_end.close()
