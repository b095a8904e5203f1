"""What a successful run has proven: a fold of its events, used wherever a run is told of."""

from __future__ import annotations

from dataclasses import dataclass, field

from aitp_playground.events.model import RunEvent

#: Reasons that are kept; the first is what a command line shows.
_MOST_REASONS = 20
#: How a run says that it was without one, and what to do about it.
NO_CONTROL_PLANE = (
    "no Control Plane is configured: --with-control-plane starts one beside the run, CP_BASE_URL names one that runs"
)
NO_CLAIM = "no claim was checked: no step that was carried out expects anything that could come out otherwise"


@dataclass(slots=True)
class Proof:
    """``claims``: how many expectations were checked and held. ``doubts``: why what was claimed may not have been
    shown, as sentences in the order in which they arose; a success with any of them, or without claims, is unproven."""

    claims: int = 0
    doubts: list[str] = field(default_factory=list)

    def apply(self, event: RunEvent) -> None:
        """Take an event of the run into account, up to the one that ends it."""
        match event.type:
            case "step.complete" | "step.skipped":
                self._step(event)
            case "agent.spawning" if (python := event.payload.get("python_missing")) is not None:
                agent_id = event.get("agent_id")
                self._doubt(f"{agent_id} ran on another interpreter than {python}, which its manifest asks for")
            case "trust.peers_resolved":
                self._peers(event)
            case "cp.degraded":
                operation, cause = event.payload.get("operation") or "a call", event.get("cause") or "no answer"
                self._doubt(f"the Control Plane did not do its part in {operation}: {cause}")
            case "revocation.refresh_failed" | "revocation.verify_failed":
                self._list(event)
            case "step.fault_injected" if event.get("step_id") is None:
                kind, target = event.payload.get("kind"), event.get("target")
                self._doubt(f"the fault {kind} on {target}, asked for with the run, kept trust from being established")
            case "trust.failed" if event.get("step_id") is None and event.get("cause") is not None:
                self._doubt(
                    f"{event.get('initiator')} and {event.get('target')} do not trust each other: {event.get('error')}"
                )
            case _:
                pass

    @property
    def unproven_because(self) -> list[str]:
        """Why a success proves nothing; empty when it does."""
        return list(self.doubts) if self.doubts or self.claims else [NO_CLAIM]

    def _step(self, event: RunEvent) -> None:
        step_id, payload = event.get("step_id"), event.payload
        checked = payload.get("checked")
        if isinstance(checked, int):
            self.claims += checked
        if payload.get("unproven"):
            why = payload["unproven"] if isinstance(payload["unproven"], str) else event.get("notes")
            self._doubt(f"step {step_id}: {why or 'what it claims could not be tried'}")

    def _peers(self, event: RunEvent) -> None:
        peers = event.get("peers")
        for agent_id, found in peers.items() if isinstance(peers, dict) else ():
            if isinstance(found, dict) and found.get("source") == "static_fallback":
                why = f": {NO_CONTROL_PLANE}" if found.get("reason") == "cp_disabled" else ""
                self._doubt(
                    f"{agent_id} was not found where it was looked for, and its known address was used instead{why}"
                )

    def _list(self, event: RunEvent) -> None:
        """A token was taken of a peer whose own revocation list nobody could look at."""
        agent_id, cause = event.get("agent_id"), event.get("cause")
        peer = event.payload.get("peer") or "a peer"
        if cause == "not_advertised":
            self._doubt(f"{agent_id} took a token of {peer}, which advertises no revocation list")
        elif event.payload.get("fail_mode") == "fail_open":
            self._doubt(f"{agent_id} took a token of {peer} without its revocation list: {cause}")

    def _doubt(self, sentence: str) -> None:
        if len(self.doubts) < _MOST_REASONS and sentence not in self.doubts:
            self.doubts.append(sentence)
