"""Telemetry tokens: which run and agent a bearer speaks for. Only hashes are kept."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from aitp_playground.actors import ActorRef
from aitp_playground.errors import Unauthorized
from aitp_playground.observability.spans import Seen
from aitp_playground.runs.messages import RunMessage


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


class Bearer(NamedTuple):
    """An agent of a run: the run's actor, the agent's id, the run's, and which spans it has handed in."""

    run: ActorRef[RunMessage]
    agent_id: str
    run_id: str
    spans: Seen


class TelemetryTokens:
    """Looked up by digest, so that the time of a look-up says nothing about a token."""

    def __init__(self) -> None:
        self._known: dict[bytes, Bearer] = {}

    def __len__(self) -> int:
        """How many are known."""
        return len(self._known)

    def admit(self, token: str, run: ActorRef[RunMessage], agent_id: str, run_id: str) -> None:
        """From now on ``token`` speaks for this agent of this run."""
        self._known[_digest(token)] = Bearer(run, agent_id, run_id, Seen())

    def forget(self, token: str) -> None:
        """The agent is gone."""
        self._known.pop(_digest(token), None)

    def who(self, token: str) -> Bearer:
        """For whom it speaks. Raises Unauthorized."""
        try:
            return self._known[_digest(token)]
        except KeyError:
            raise Unauthorized("this telemetry token belongs to no agent of a running run") from None
