"""What a step type is, and what it may see of its run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from aitp_playground.scenarios.models import StepSpec

if TYPE_CHECKING:  # commands that only look at scenarios load no HTTP client
    from aitp_playground.cp_client.client import CpClient
    from aitp_playground.cp_client.reasons import Outcome
    from aitp_playground.scenarios.expectations import Expectation
    from aitp_playground.scenarios.findings import KeyPath
    from aitp_playground.scenarios.models import AgentManifest, Fault, Scenario


@dataclass(frozen=True, slots=True)
class Completed:
    """The step did what it is for. ``output`` becomes ``outputs[step_id]``.

    ``degraded_by_cp``: the Control Plane's part did not happen; steps that require this one are then unproven.
    ``checked``: how many claims of its own, beside ``expect``, the step has checked and found true; ``doubt``: why it
    proves nothing all the same, as a sentence.
    """

    output: dict[str, Any]
    degraded_by_cp: bool = False
    checked: int = 0
    doubt: str | None = None
    #: Which claims in ``expect``, by number, could not be tried; the others are judged.
    untried: frozenset[int] = frozenset()

    def judged(self, expectations: Sequence[Expectation]) -> list[Expectation]:
        return [expectation for number, expectation in enumerate(expectations) if number not in self.untried]


@dataclass(frozen=True, slots=True)
class Skipped:
    """The step was not tried. ``output`` (if any) becomes ``outputs[step_id]``; ``unproven`` marks a missing proof."""

    notes: str
    output: dict[str, Any] | None = None
    unproven: bool = False
    #: It was skipped because the SDK of an agent lacks what it takes.
    lacking: bool = False


StepOutcome = Completed | Skipped


def same_agent(step: StepSpec, first: str, second: str, why: str) -> Iterator[tuple[KeyPath, str]]:
    """The doubt about a step whose two fields name one agent. ``why``: what comes of it."""
    agent = getattr(step, first)
    if agent == getattr(step, second):
        yield (second,), f"{agent} is the {first} as well: {why}"


def not_offered(
    field: str, asked: Sequence[str], owner: str, manifests: Mapping[str, AgentManifest]
) -> Iterator[tuple[KeyPath, str]]:
    """The doubts about capabilities that are asked of an agent which does not offer them."""
    for place, capability in enumerate(asked):
        if owner in manifests and capability not in manifests[owner].spec.aitp.offered_caps:
            yield (field, place), f"{owner} does not offer {capability}, so it will not grant it"


class AgentHandle(Protocol):
    """One launched agent as a step sees it: who it is, where it is, and its admin side."""

    agent_id: str
    aid: str
    base_url: str
    manifest_url: str

    async def post(self, route: str, body: Mapping[str, Any], *, timeout: float | None = None) -> dict[str, Any]:
        """``POST /admin/<route>``. Raises :class:`~aitp_playground.errors.AgentCallError`."""


class StepContext(Protocol):
    """A step's window on its run."""

    run_id: str
    scenario: Scenario
    outputs: Mapping[str, Any]
    inputs: Mapping[str, Any]
    cp: CpClient
    #: What the SDK of an agent lacks, as a sentence, if that keeps agents from trusting each other; and which pairs.
    lacking: str | None
    apart: Collection[frozenset[str]]
    #: How the peers were found: the ``source`` of each, in ``trust.peers_resolved``.
    sources: tuple[str, ...]

    async def record(self, event_type: str, /, **fields: Any) -> None:
        """Append an event to the run's log, with this step's ``step_id``; returns when it has its place."""

    def agent(self, agent_id: str) -> AgentHandle:
        """The launched agent with this id."""

    async def fetch_text(self, url: str) -> str:
        """A document of an agent's, as anybody gets it. Raises :class:`~aitp_playground.errors.StepError`."""

    async def flush_to_cp(self) -> str | None:
        """Report this run's events so far to the Control Plane, waiting ``CP_TIMEOUT_MS`` at most.

        None when the Control Plane has them; else why not, one of the reason classes of docs/control-plane.md
        (``timeout``, ``refused``, ``breaker_open``, ``http_5xx``, …). Reporting goes on all the same. Only for a run
        with a Control Plane.
        """

    async def subscribe_webhook(self, events: Sequence[str]) -> Outcome[dict[str, Any] | None]:
        """Have the Control Plane call this run back; the subscription's ``{"id", "url"}``."""

    async def leave_at_cp(self, kind: str, name: str) -> None:
        """Remember, on disk, that this run leaves something at the Control Plane, to be removed after it is over."""

    def known_by(self, agent_id: str) -> str:
        """The identity type of an agent of this scenario, as its manifest file says."""

    def offers(self, agent_id: str) -> tuple[str, ...]:
        """What an agent of this scenario offers, as its manifest file says."""

    async def rotated(self, agent_id: str, aid: str) -> None:
        """An agent has another AID now: introduce it anew to all others of the run."""

    async def hear(self, agent_id: str) -> None:
        """Have an agent whose capability was called hand in its telemetry, so that causes stand first in the log."""

    def step_input(self) -> dict[str, Any]:
        """This step's input: ``input_from``, else the rendered ``input_template``, else all inputs of the run."""

    def provider(self, caller: str, capability: str) -> str:
        """Who executes it: the caller when it offers it, else the first agent in scenario order that does."""

    def fault(self, declared: Fault | None, target: str) -> Fault | None:
        """The fault to inject: the step's own, else the one the run was started with for this target."""

    def faulted_url(self, kind: str, agent_id: str) -> str:
        """A manifest URL of that agent that really fails: its path with ``-missing``, or a port that nobody serves."""


class Step(StepSpec):
    """A step type: a pydantic model of its fields, and :meth:`run`. Subclasses set ``type`` as a ``Literal``.

    Their docstring, the descriptions of their fields and what is declared here make the reference of step types
    (docs/steps.md); the former two are what an editor shows.
    """

    #: Field of the output → what it holds; ``?`` ends the name of one that is there only sometimes. None: the output is
    #: another's to define.
    gives: ClassVar[Mapping[str, str] | None] = MappingProxyType({})
    #: Event types that it brings about, beside those of every step.
    causes: ClassVar[tuple[str, ...]] = ()
    #: The SDK's feature without which it is skipped, a key of :data:`aitp_playground.sdk.FEATURES`.
    feature: ClassVar[str | None] = None
    #: When it needs that, if not always.
    feature_when: ClassVar[str | None] = None
    #: It does something at a Control Plane: always, or only as one of its fields says.
    control_plane: ClassVar[Literal["always", "sometimes", "never"]] = "never"

    async def run(self, ctx: StepContext) -> StepOutcome:
        """Do it. Raises :class:`~aitp_playground.errors.StepError` to fail the run."""
        raise NotImplementedError
