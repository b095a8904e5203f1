"""The conductor: one run from the launch of its agents to their end. It waits; the run's actor never does.

Whatever it finds out goes to the actor as a message; it touches no state of the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from itertools import combinations
from typing import Any

import structlog

from aitp_playground.actors import ActorRef, AskTimeout
from aitp_playground.errors import AgentCallError, PlaygroundError, StepError, StepTimeout
from aitp_playground.events.codec import encode_json
from aitp_playground.events.model import EventDraft, RunEvent, draft
from aitp_playground.observability import trace_context
from aitp_playground.runs.concurrency import Threads, together
from aitp_playground.runs.conducting.kept_apart import NOTHING_GIVEN, KeptApart
from aitp_playground.runs.conducting.run_agents import RunAgents
from aitp_playground.runs.conducting.step_context import RunContext, fault_for
from aitp_playground.runs.conducting.step_marks import marked
from aitp_playground.runs.conducting.tried import Tried
from aitp_playground.runs.messages import MoreEvents, Record, RunMessage, StepEvents
from aitp_playground.runs.services import RunServices
from aitp_playground.scenarios.expectations import Expectation
from aitp_playground.scenarios.models import ResolvedScenario
from aitp_playground.scenarios.providers import provider
from aitp_playground.steps import Step
from aitp_playground.steps.base import Completed, Skipped, StepOutcome
from aitp_playground.steps.expect import awaited, check
from aitp_playground.steps.faults import FAULT_CLASSES
from aitp_playground.steps.features import feature_lacking
from aitp_playground.steps.handshake import FEATURE, HandshakeStep, establish
from aitp_playground.steps.workflow import WorkflowStep
from aitp_playground.store.port import RunHeader
from aitp_playground.trust import PeerQuery, ResolvePeers
from aitp_playground.trust.cp_registry import unasked

#: Seconds a step may take that says nothing about it.
STEP_TIMEOUT = 30.0
MAX_OUTPUT = 1024 * 1024
#: Characters of a step's description in the log; the scenario has it whole.
MAX_REMARK = 1000
#: How long an answer of the run's own actor may take; it never waits for anything slow itself.
ACTOR_TIMEOUT = 30.0
#: As much as there are runs can wait for it.
_CHECKING = Threads("checking", 2)
#: Up to here a step is checked in less than a millisecond, and a thread would cost more than it spares.
SMALL = 32 * 1024
MANY = 200


class Conductor:
    """Conducts one run. ``conduct`` raises to fail it; the agents are gone when it returns or raises."""

    def __init__(self, header: RunHeader, resolved: ResolvedScenario, services: RunServices) -> None:
        self._header = header
        self._resolved = resolved
        self._spec = resolved.scenario.spec
        self._services = services
        self._outputs: dict[str, Any] = {}
        self._tried = Tried(resolved.scenario)
        self._kept_apart = KeptApart()

    async def conduct(self, run: ActorRef[RunMessage]) -> None:
        """Launch, introduce, establish trust, work, dismiss."""
        limit = self._services.settings.run_timeout_secs
        with self._traced():
            await self._conduct(run, limit)

    def _traced(self, step_id: str | None = None) -> AbstractContextManager[None]:
        tracing, run_id = self._services.tracing, self._header.run_id
        return trace_context.within(run_id, step_id, sampled=tracing is not None and tracing.sampled(run_id))

    async def _conduct(self, run: ActorRef[RunMessage], limit: float) -> None:
        async with RunAgents(run, self._header, self._resolved, self._services, self._recorder(run)) as agents:
            try:
                async with asyncio.timeout(limit) as scope:
                    await agents.watch_over(self._perform(run, agents))
            except TimeoutError:
                if not scope.expired():
                    raise
                raise StepTimeout(f"the run took more than {limit:g} s (RUN_TIMEOUT_SECS)") from None

    @staticmethod
    def _recorder(run: ActorRef[RunMessage]) -> Any:
        async def record(*drafts: EventDraft) -> None:
            await run.ask(Record(drafts), timeout=ACTOR_TIMEOUT)

        return record

    async def _perform(self, run: ActorRef[RunMessage], agents: RunAgents) -> None:
        await agents.launch()
        peers = await self._resolve_peers(run, agents)
        await agents.introduce(peers)
        if self._spec.trust.eager:
            await self._establish_all(run, agents)
        for step in self._spec.workflow.steps:
            assert isinstance(step, Step)
            await self._run_step(run, agents, step)

    # -- trust ---------------------------------------------------------------------------------------------------------

    async def _resolve_peers(self, run: ActorRef[RunMessage], agents: RunAgents) -> Mapping[str, Mapping[str, Any]]:
        queries = tuple(
            PeerQuery(
                agent_id=agent.id,
                manifest_url=agents.agent(agent.id).manifest_url,
                aid=agents.agent(agent.id).aid,
                port=agents.agent(agent.id).port,
                org=agent.org,
                did_web_host=self._resolved.did_web_host(agent),
                capability=self._wanted_of(agent.id),
                greeted_as=self._greeters_of(agent.id),
            )
            for agent in self._spec.agents
        )
        peers: Mapping[str, Mapping[str, Any]] = await self._services.trust.ask(
            ResolvePeers(self._spec.trust.discovery, queries), timeout=ACTOR_TIMEOUT
        )
        await run.ask(
            Record((draft("trust.peers_resolved", peers=peers), *unasked(peers.values()))), timeout=ACTOR_TIMEOUT
        )
        return peers

    def _wanted_of(self, agent_id: str) -> str | None:
        """The capability of the first workflow step aimed at this agent: by it a registry is asked for others."""
        work = [step for step in self._spec.workflow.steps if isinstance(step, WorkflowStep)]
        scenario, manifests = self._resolved.scenario, self._resolved.manifests
        called = (step for step in work if provider(scenario, manifests, step.agent, step.capability) == agent_id)
        own = (step for step in work if step.agent == agent_id)
        return next((step.capability for step in (*called, *own)), None)

    def _greeters_of(self, agent_id: str) -> frozenset[str]:
        """By what the others are known."""
        manifests = self._resolved.manifests.items()
        return frozenset(manifest.spec.aitp.identity_type for other, manifest in manifests if other != agent_id)

    async def _establish_all(self, run: ActorRef[RunMessage], agents: RunAgents) -> None:
        """One handshake per pair, initiator first in scenario order; all pairs at once."""
        pairs = combinations([agent.id for agent in self._spec.agents], 2)
        await together(self._establish_pair(run, agents, first, second) for first, second in pairs)

    async def _establish_pair(self, run: ActorRef[RunMessage], agents: RunAgents, first: str, second: str) -> None:
        ctx = self._context(run, agents)
        body: dict[str, Any] = {"peer": second, "requested_grants": [], "direction": "both"}
        fault = fault_for(self._header.fault_injection, second)
        about = {"initiator": first, "target": second}
        if fault is not None:
            body["manifest_url"] = url = ctx.faulted_url(fault.kind, second)
            await ctx.record("step.fault_injected", **about, source_url=url, kind=fault.kind, notes=fault.note)
        try:
            answer = await establish(ctx, first, second, body)
        except AgentCallError as failure:
            if fault is not None and failure.refusal in FAULT_CLASSES[fault.kind]:
                self._kept_apart.by_fault(first, second, f"{fault.kind} on {second}")
                await ctx.record("step.fault_complete", **about, error=failure.message, kind=fault.kind)
            elif (lacking := feature_lacking(FEATURE, failure)) is not None:
                self._kept_apart.for_want_of(first, second, lacking)
            else:
                raise
        else:
            if fault is not None:
                raise StepError(f"the injected fault {fault.kind} on {second} had no effect: trust was established")
            issued = answer["issued"]
            await ctx.record(
                "trust.established", initiator=second, target=first, grants=issued["grants"], jti=issued["jti"]
            )
        finally:
            ctx.close()

    # -- steps ---------------------------------------------------------------------------------------------------------

    async def _run_step(self, run: ActorRef[RunMessage], agents: RunAgents, step: Step) -> None:
        structlog.contextvars.bind_contextvars(step_id=step.id)
        ctx = self._context(run, agents, step)
        await ctx.record("step.started", **ctx.labels(), description=_remark(step))
        try:
            with self._traced(step.id), marked(step.id, _seconds(step)):
                outcome = self._tried.unproven(step) or await self._in_time(step, ctx)
            size = _size(step, outcome)
            if isinstance(outcome, Completed) and not outcome.degraded_by_cp and step.expect:
                await self._check(run, step, outcome, size, ctx.unheard)
        except PlaygroundError as failure:
            output = getattr(failure, "output", None)
            await ctx.record(
                "step.failed", **ctx.labels(), error=failure.message, result=output, details=failure.details
            )
            self._services.metrics.step_ended(step.type, "failed")
            raise StepError(f"step {step.id} failed: {failure.message}", details=failure.details) from failure
        finally:
            ctx.close()
            structlog.contextvars.unbind_contextvars("step_id")
        await self._conclude(ctx, step, outcome)
        self._services.metrics.step_ended(step.type, "skipped" if isinstance(outcome, Skipped) else "complete")

    async def _in_time(self, step: Step, ctx: RunContext) -> StepOutcome:
        seconds = _seconds(step)
        try:
            async with asyncio.timeout(seconds) as limit:
                return await step.run(ctx)
        except AgentCallError as failure:
            why = self._kept_apart.why_not(step, ctx.partner()) if failure.refusal in NOTHING_GIVEN else None
            if why is None:
                raise
            return Skipped(notes=why, unproven=True, lacking=True)
        except TimeoutError:
            if not limit.expired():
                raise
            raise StepTimeout(f"it took more than {seconds:g} s (timeout_ms)") from None

    def _context(self, run: ActorRef[RunMessage], agents: RunAgents, step: Step | None = None) -> RunContext:
        given = (run, self._header, self._resolved, agents, self._outputs, self._services)
        return RunContext(*given, step, lacking=self._kept_apart.lacking, apart=self._kept_apart.for_want)

    async def _conclude(self, ctx: RunContext, step: Step, outcome: StepOutcome) -> None:
        if outcome.output is not None:
            self._outputs[step.id] = outcome.output
        self._tried.conclude(step, outcome)
        if isinstance(outcome, Skipped):
            if outcome.lacking and isinstance(step, HandshakeStep):
                self._kept_apart.for_want_of(step.initiator, step.responder, outcome.notes)
            await ctx.record(
                "step.skipped",
                **ctx.labels(),
                notes=outcome.notes,
                result=outcome.output,
                unproven=outcome.unproven or None,
            )
            return
        if isinstance(step, HandshakeStep):
            self._kept_apart.met(step.initiator, step.responder)
        unproven = outcome.doubt
        if step.expect and outcome.degraded_by_cp:
            unproven = "the Control Plane's part did not happen, so what it claims could not be tried"
        checked = self._tried.claims(step, outcome)
        await ctx.record(
            "step.complete", **ctx.labels(), result=outcome.output, checked=checked or None, unproven=unproven
        )

    async def _check(
        self, run: ActorRef[RunMessage], step: Step, outcome: Completed, size: int, unheard: Collection[str]
    ) -> None:
        """``size``: of the output, in bytes. Raises ExpectationFailed."""
        if unheard and any(expectation.event is not None for expectation in step.expect):
            raise StepError(
                f"what {', '.join(sorted(unheard))} did is not in the log in full: its telemetry did not arrive, so "
                "nothing can be said about the events of this step"
            )
        outputs = {**self._outputs, step.id: outcome.output}
        judged = outcome.judged(step.expect)
        events = await self._awaited_events(run, step.looks_back, judged, outputs)
        work = partial(check, judged, output=outcome.output, events=events, outputs=outputs)
        if size > SMALL or len(events) > MANY or any(expectation.matches is not None for expectation in judged):
            await _CHECKING.do(work)
        else:
            work()

    @staticmethod
    async def _awaited_events(
        run: ActorRef[RunMessage], looks_back: bool, judged: Sequence[Expectation], outputs: Mapping[str, Any]
    ) -> Sequence[RunEvent]:
        """The events of a step, once those that ``within_ms`` waits for have come, or their time is over."""
        now = asyncio.get_running_loop().time
        began = now()
        while True:
            events: Sequence[RunEvent] = await run.ask(StepEvents(looks_back), timeout=ACTOR_TIMEOUT)
            left = began + max(awaited(judged, events, outputs), default=0.0) - now()
            if left <= 0:
                return events
            with suppress(AskTimeout):
                await run.ask(MoreEvents(events[-1].seq if events else 0), timeout=left)


def _remark(step: Step) -> str | None:
    """What a step's start says of it, unless it is all that the step says anyway."""
    told_at_its_end = step.type == "meta" and not step.expect
    return None if told_at_its_end or step.description is None else step.description[:MAX_REMARK]


def _seconds(step: Step) -> float:
    return STEP_TIMEOUT if step.timeout_ms is None else step.timeout_ms / 1000


def _size(step: Step, outcome: StepOutcome) -> int:
    """Bytes of the output. Raises StepError when it is too large to keep."""
    size = 0 if outcome.output is None else len(encode_json(outcome.output))
    if size > MAX_OUTPUT:
        raise StepError(f"the output of {step.id} is {size} bytes of JSON; at most {MAX_OUTPUT} are kept")
    return size
