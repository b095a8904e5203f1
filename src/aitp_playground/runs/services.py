"""What a run needs of the process it lives in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from aitp_playground.actors import ActorRef
from aitp_playground.config import Settings
from aitp_playground.cp_client.client import CpClient
from aitp_playground.cp_client.reasons import Outcome
from aitp_playground.hosting.contract import Launcher
from aitp_playground.observability.metrics import Metrics
from aitp_playground.observability.tracing import Tracing
from aitp_playground.runs.board import AgentBoard
from aitp_playground.runs.id_tokens import IdTokenDesk
from aitp_playground.runs.tokens import TelemetryTokens
from aitp_playground.store.port import RunStore
from aitp_playground.trust import TrustMessage


class RunReporter(Protocol):
    """Reports runs to the Control Plane, in the background unless somebody waits."""

    async def flush(self, run_id: str) -> str | None:
        """Return when the Control Plane has the run's events so far: None, or the reason class why it has not."""


class Leftovers(Protocol):
    """Keeps, on disk, what runs leave at the Control Plane, and removes it some time after they are over."""

    async def subscribe(self, run_id: str, events: Sequence[str]) -> Outcome[dict[str, Any] | None]:
        """Have the Control Plane call the run back; the subscription's ``{"id", "url"}``."""

    async def leave(self, run_id: str, kind: str, name: str) -> None:
        """Remember that ``name`` (an ``agent``'s AID) is to be removed."""

    def wake(self) -> None:
        """A run ended or was removed: look what is due now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunServices:
    """``secret`` is the installation secret agents' seeds derive from; ``base_url`` where agents post telemetry to.

    ``reporting`` and ``leftovers`` are there when ``cp`` is enabled, ``tracing`` when traces are exported.
    """

    settings: Settings
    store: RunStore
    launcher: Launcher
    trust: ActorRef[TrustMessage]
    cp: CpClient
    http: aiohttp.ClientSession
    secret: bytes
    metrics: Metrics
    board: AgentBoard
    tokens: TelemetryTokens
    base_url: str
    id_tokens: IdTokenDesk = field(default_factory=IdTokenDesk)
    reporting: RunReporter | None = None
    leftovers: Leftovers | None = None
    tracing: Tracing | None = None
