"""Where is each peer: the TrustOrchestrator actor and its resolvers."""

from aitp_playground.trust.messages import PeerQuery, ResolvePeers, TrustMessage
from aitp_playground.trust.orchestrator import TrustOrchestrator

__all__ = ["PeerQuery", "ResolvePeers", "TrustMessage", "TrustOrchestrator"]
