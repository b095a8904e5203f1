"""The normal form of a run: plain data, equal for two runs in which the same happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aitp_playground.events.codec import decode_json
from aitp_playground.events.vocabulary import STEP_ENDS, StepOutcome
from aitp_playground.store.port import RunHeader

#: What stands for the playground where an emitter is named.
SERVICE = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a run was started with. ``inputs`` and ``faults`` are None where only the run's events are known."""

    run_id: str
    ref: str | None = None
    template: str | None = None
    inputs: Mapping[str, Any] | None = None
    faults: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, header: RunHeader) -> Self:
        """As it is stored."""
        return cls(
            run_id=header.run_id,
            ref=header.scenario_ref,
            template=header.template,
            inputs=header.inputs,
            faults=header.fault_injection,
        )


@dataclass(frozen=True, slots=True)
class Told:
    """An event. ``by``: the agent that reported it, :data:`SERVICE` for the playground; ``peer``: outside of the steps,
    whom it is about besides. What one emitter tells of one step, or of one peer, stands in the order in which it was
    told; ``body`` holds its fields as JSON with sorted names, without id, number, time and step. ``seq`` is its number
    in the log that it is from, 0 where that is not known, and no part of what is compared.
    """

    type: str
    by: str
    body: bytes
    peer: str = ""
    seq: int = field(default=0, compare=False)

    @property
    def strand(self) -> tuple[str, str]:
        """Within this the order is the emitter's own."""
        return self.by, self.peer

    def fields(self) -> dict[str, Any]:
        """What ``body`` holds."""
        found: dict[str, Any] = decode_json(self.body)
        return found


@dataclass(frozen=True, slots=True)
class Section:
    """The events of a step, or (``step_id`` None) those outside of the steps, but for the one that ended the run.

    Between emitters causes come before consequences; ``output`` is the step's, as JSON, None where there is none.
    """

    step_id: str | None
    events: tuple[Told, ...]
    output: bytes | None = None

    @property
    def outcome(self) -> StepOutcome | None:
        """How the step ended; None outside of the steps, and for a step that has no end."""
        return next((STEP_ENDS[event.type] for event in reversed(self.events) if event.type in STEP_ENDS), None)


@dataclass(frozen=True, slots=True)
class NormalForm:
    """``run``: ``ref``, ``template``, ``inputs``, ``faults`` (None where they are not known), ``status``, ``proof``,
    ``unproven_because``. ``sections``: first what is outside of the steps, then the steps in their order. ``end``: the
    event that ended the run, None for a log that lacks it."""

    run: Mapping[str, Any]
    sections: tuple[Section, ...] = field(default=())
    end: Told | None = None
