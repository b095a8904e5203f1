"""One event of a run: the only thing that changes a run's state or leaves the building."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Names that stand at the top of an event, in the order in which they are written. Everything else is ``payload``.
PROMOTED = (
    "agent_id",
    "agent",
    "aid",
    "port",
    "step_id",
    "capability",
    "initiator",
    "target",
    "aid_a",
    "aid_b",
    "session_id",
    "grants",
    "jti",
    "peers",
    "scenario_ref",
    "template",
    "result",
    "error",
    "cause",
    "source_url",
    "notes",
    "delivery_id",
    "event_type",
    "foreign",
    "payload",
)
_PROMOTED_SET = frozenset(PROMOTED)
_HEAD = frozenset({"seq", "id", "type", "ts", "run_id"})


@dataclass(frozen=True, slots=True)
class EventDraft:
    """An event before its run's actor gave it a place in the log.

    ``id`` and ``ts`` are assigned by the actor when absent. An agent's telemetry brings its own.
    """

    type: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None
    ts: float | None = None


def draft(event_type: str, /, *, id: str | None = None, ts: float | None = None, **fields: Any) -> EventDraft:  # noqa: A002 - the wire name
    """Build a draft: absent (None) fields are left out, names that are not promoted go to ``payload``."""
    top: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, value in fields.items():
        if value is None or name == "payload":
            continue
        (top if name in _PROMOTED_SET else rest)[name] = value
    given = fields.get("payload")
    if isinstance(given, Mapping):
        rest = {**given, **rest}
    if rest:
        top["payload"] = rest
    return EventDraft(event_type, top, id, ts)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """An event in its place. ``fields`` holds only promoted names; absent means absent, never None.

    ``seq`` counts from 1 without gaps; ``ts`` is Unix seconds.
    """

    seq: int
    id: str
    type: str
    ts: float
    run_id: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The wire form: head, then the promoted fields that are present, flat."""
        return {
            "seq": self.seq,
            "id": self.id,
            "type": self.type,
            "ts": self.ts,
            "run_id": self.run_id,
            **self.fields,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunEvent:
        """The inverse of :meth:`as_dict`."""
        return cls(
            seq=data["seq"],
            id=data["id"],
            type=data["type"],
            ts=data["ts"],
            run_id=data["run_id"],
            fields={name: value for name, value in data.items() if name not in _HEAD},
        )

    def get(self, name: str, default: Any = None) -> Any:
        """A promoted field, or ``default``."""
        return self.fields.get(name, default)

    @property
    def payload(self) -> Mapping[str, Any]:
        """The fields that have no name of their own at the top."""
        value = self.fields.get("payload")
        return value if isinstance(value, Mapping) else {}
