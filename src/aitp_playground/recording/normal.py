"""Putting a run into its normal form.

What is the same in two runs of one scenario, however their agents were scheduled, is equal in their normal forms, byte
by byte. Events that may as well not have come are left out unless they are asked for; what follows the end always is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aitp_playground.errors import PayloadTooLarge
from aitp_playground.events.codec import decode
from aitp_playground.events.model import RunEvent
from aitp_playground.events.proof import Proof
from aitp_playground.events.vocabulary import STEP_ENDS, TERMINAL_TYPES, spec
from aitp_playground.recording.canonical import canonical
from aitp_playground.recording.clock import Clock
from aitp_playground.recording.form import SERVICE, Given, NormalForm, Section, Told
from aitp_playground.recording.learning import Learner
from aitp_playground.recording.names import Names, shapes_in
from aitp_playground.recording.order import ACTING, CLOSING, END, OPENING, Order
from aitp_playground.recording.plan import Plan, Strand
from aitp_playground.recording.rewriting import Rewriter

#: What a run may have to be put into its normal form. It is held in memory, twice while that is made.
MOST_EVENTS: Final = 50_000
MOST_BYTES: Final = 32 << 20


class Log:
    """The stored events of one run, gathered to be compared. Raises PayloadTooLarge for what is too long for that."""

    def __init__(self, most_events: int | None = None, most_bytes: int | None = None) -> None:
        self.bodies: list[bytes] = []
        self._size = 0
        self._most_events = MOST_EVENTS if most_events is None else most_events
        self._most_bytes = MOST_BYTES if most_bytes is None else most_bytes

    def add(self, body: bytes) -> None:
        """Take the next event, as it is stored."""
        self._size += len(body)
        if len(self.bodies) == self._most_events or self._size > self._most_bytes:
            most = f"at most {self._most_events} events and {self._most_bytes >> 20} MiB"
            raise PayloadTooLarge(f"this run is too long to be compared: {most}")
        self.bodies.append(body)


def given_in(bodies: Sequence[bytes]) -> Given:
    """What the events alone say of what their run was started with. Raises ValueError for no events."""
    if not bodies:
        raise ValueError("there are no events")
    first = decode(bodies[0])
    return Given(run_id=first.run_id, ref=first.get("scenario_ref"), template=first.get("template"))


def normal_form(given: Given, bodies: Sequence[bytes], *, volatile: bool = False) -> NormalForm:
    """The normal form of the run whose stored events these are, in their order.

    ``volatile``: with the events that may as well not have come. Raises ValueError and KeyError for what is no event.
    """
    clock = Clock(decode(bodies[0]).ts if bodies else 0.0)
    names = Names(clock)
    for value in shapes_in(given.inputs):
        names.keep(value)
    learner, plan, proof, end = Learner(names, given.run_id), Plan(), Proof(), None
    for position, body in enumerate(bodies):
        event = decode(body)
        proof.apply(event)
        if event.type in TERMINAL_TYPES:
            end = event
            break
        learner.see(event)
        plan.add(event, position)
    learner.finish()
    rewriter = Rewriter(names, clock, learner.owns)
    sections = [_section(step_id, plan.sections[step_id], bodies, rewriter, volatile) for step_id in plan.ordered()]
    status = None if end is None else TERMINAL_TYPES[end.type]
    doubts = proof.unproven_because if status == "success" else []
    return NormalForm(
        run={
            "ref": given.ref,
            "template": given.template,
            "inputs": given.inputs,
            "faults": given.faults,
            "status": status,
            "proof": None if status != "success" else "unproven" if doubts else "proven",
            "unproven_because": sorted(rewriter.text(doubt) for doubt in doubts),
        },
        sections=tuple(sections),
        end=None if end is None else _told(end, (SERVICE, "", False), rewriter.event(end)[0]),
    )


def _section(
    step_id: str | None,
    strands: Mapping[Strand, Sequence[int]],
    bodies: Sequence[bytes],
    rewriter: Rewriter,
    volatile: bool,
) -> Section:
    """Strand by strand in the order of their names, so that what is named by its place always gets the same name."""
    order = Order()
    told: list[Told] = []
    output: bytes | None = None
    for strand in sorted(strands):
        if strand[2] and not volatile:
            continue
        order.strand()
        for position in strands[strand]:
            event = decode(bodies[position])
            fields, used = rewriter.event(event)
            if event.type in STEP_ENDS and fields.get("result") is not None:
                output = canonical(fields.pop("result"))
            _put(order, event, strand[0], fields, used)
            told.append(_told(event, strand, fields))
    return Section(step_id, tuple(told[place] for place in order.places()), output)


def _told(event: RunEvent, strand: Strand, fields: dict[str, Any]) -> Told:
    by, peer, _ = strand
    if by != SERVICE:
        fields.pop("agent_id", None)
    return Told(event.type, by, canonical(fields), peer, event.seq)


def _put(order: Order, event: RunEvent, by: str, fields: Mapping[str, Any], used: set[str]) -> None:
    row = spec(event.type)
    made = {str(fields[name]) for name in (row.makes if row else ()) if name in fields}
    # Nobody is of use before it is ready.
    acting = {f"ready {name}" for name in (by, fields.get("initiator"), fields.get("target")) if name}
    if event.type == "agent.ready":
        made.add(f"ready {event.get('agent_id')}")
    order.add(_rank(event, by), made, used | acting)


def _rank(event: RunEvent, by: str) -> int:
    if event.type in STEP_ENDS:
        return END
    if by != SERVICE:
        return ACTING
    row = spec(event.type)
    return OPENING if row is not None and row.opens else CLOSING
