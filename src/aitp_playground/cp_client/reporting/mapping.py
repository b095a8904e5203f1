"""A run's event as the Control Plane is told it.

The fields stand flat in ``payload``, beside the event's own ``id`` and ``seq``: there the Control Plane looks for what
fills its tables of sessions, TCTs and delegations. Only AIDs name parties; ids of agents mean nothing outside a run.
A token is never told, only its fingerprint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aitp_playground.cp_client.arguments import when
from aitp_playground.cp_client.reasons import Degraded
from aitp_playground.events.model import RunEvent
from aitp_playground.events.tokens import without_tokens
from aitp_playground.observability.trace_context import trace_id_of

SOURCE: Final = "aitp-playground"
#: Types whose events change what :class:`AidBook` knows.
INTRODUCTIONS: Final = frozenset({"agent.ready", "identity.key.rotated"})


class AidBook:
    """The AIDs of a run's agents, as far as its events have told them."""

    def __init__(self) -> None:
        self._aids: dict[str, str] = {}

    def note(self, event: RunEvent) -> None:
        """Take in an event; those of other types than :data:`INTRODUCTIONS` say nothing here."""
        agent_id, aid = event.get("agent_id", event.get("agent")), event.get("aid", event.payload.get("new_aid"))
        if event.type in INTRODUCTIONS and isinstance(agent_id, str) and _is_aid(aid):
            self._aids[agent_id] = aid

    def of(self, agent_id: object) -> str | None:
        """The AID of an agent; None when it is not known."""
        return self._aids.get(agent_id) if isinstance(agent_id, str) else None

    def parties(self, event: RunEvent) -> tuple[str | None, str | None]:
        """Who acts and who is acted upon.

        An agent reports whom it served as ``aid`` and itself as ``agent_id``: there the caller acts.
        """
        speaker = self.of(event.get("agent_id"))
        first = _aid(event.get("aid_a")) or self.of(event.get("initiator")) or _aid(event.get("aid"))
        first = first or speaker or self.of(event.get("agent"))
        second = _aid(event.get("aid_b")) or self.of(event.get("target")) or speaker
        return first, second if second != first else None


def told(event: RunEvent, aids: AidBook) -> dict[str, Any]:
    """The event in the Control Plane's terms, before its limits are applied. Absent fields are left out."""
    aid_a, aid_b = aids.parties(event)
    grants = event.get("grants")
    everything = {
        "type": event.type,
        "ts": moment(event.ts),
        "run_id": event.run_id,
        "session_id": event.get("session_id"),
        "aid_a": aid_a,
        "aid_b": aid_b,
        "grants": grants if isinstance(grants, list) and all(isinstance(grant, str) for grant in grants) else None,
        "source": SOURCE,
        "payload": without_tokens(_payload(event)),
    }
    return {name: value for name, value in everything.items() if value is not None}


def moment(ts: float) -> str | None:
    """Unix seconds as ISO 8601 in UTC with milliseconds; None for what no calendar holds."""
    try:
        return when(ts)
    except Degraded:
        return None


def _payload(event: RunEvent) -> dict[str, Any]:
    """One flat object; what is in the payload under a name that the event itself uses makes it stay nested."""
    own = {**event.fields, "id": event.id, "seq": event.seq, "trace_id": trace_id_of(event.run_id)}
    inner = event.fields.get("payload")
    if isinstance(inner, Mapping) and not inner.keys() & own.keys():
        del own["payload"]
        return {**inner, **own}
    return own


def _aid(value: object) -> str | None:
    return value if isinstance(value, str) and _is_aid(value) else None


def _is_aid(value: object) -> bool:
    return isinstance(value, str) and value.startswith("aid:")
