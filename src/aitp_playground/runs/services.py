"""What a run needs of the process it lives in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from aitp_playground.actors import ActorRef
from aitp_playground.config import Settings
from aitp_playground.hosting.contract import Launcher
from aitp_playground.observability.metrics import Metrics
from aitp_playground.runs.board import AgentBoard
from aitp_playground.runs.tokens import TelemetryTokens
from aitp_playground.store.port import RunStore
from aitp_playground.trust import TrustMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class RunServices:
    """``secret`` is the installation secret agents' seeds derive from; ``base_url`` where agents post telemetry to."""

    settings: Settings
    store: RunStore
    launcher: Launcher
    trust: ActorRef[TrustMessage]
    http: aiohttp.ClientSession
    secret: bytes
    metrics: Metrics
    board: AgentBoard
    tokens: TelemetryTokens
    base_url: Callable[[], str]
