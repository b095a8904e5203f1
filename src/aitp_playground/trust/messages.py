"""What may be asked of the TrustOrchestrator."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerQuery:
    """One launched agent whose peers want to find it.

    ``aid`` comes from the launch channel; ``capability`` is what the workflow first wants of this agent, ``greeted_as``
    the identity types of those who would greet it.
    """

    agent_id: str
    manifest_url: str
    aid: str
    port: int
    org: str = "internal"
    did_web_host: str | None = None
    capability: str | None = None
    greeted_as: frozenset[str] = frozenset({"pinned_key"})


@dataclass(frozen=True, slots=True)
class ResolvePeers:
    """Answer: ``{agent_id: {"manifest_url", "source", "aid"?, "did"?, "reason"?, "tried"?}}``."""

    discovery: str
    queries: tuple[PeerQuery, ...]


TrustMessage = ResolvePeers
