"""One event without what differs from run to run: every value a name, every time a lifetime or ``<time>``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from aitp_playground.events.model import RunEvent
from aitp_playground.events.vocabulary import (
    DIGESTS,
    DURATIONS,
    ENDS_AT,
    GAINS,
    ISSUED_AT,
    LISTED,
    MOMENTS,
    POSITIONS,
    SHARED,
)
from aitp_playground.recording.clock import TIME, Clock, gained, lifetime, seconds_of
from aitp_playground.recording.learning import OUTSIDE
from aitp_playground.recording.names import Names

_DURATION: Final = "<duration>"
#: Steps whose output is what a worker made; of others, the ``body`` of an answer is.
_WORK: Final = frozenset({"workflow"})
_NAME: Final = re.compile(r"<[^<>]+>")
_LISTS: Final = "revocation."


@dataclass(frozen=True, slots=True)
class _Place:
    """``ours``: names say what values are. ``exact``: token lifetimes are what was asked for. ``since``: Unix seconds,
    of the token that is looked at, else of the event."""

    prefix: str
    since: float
    ours: bool = True
    exact: bool = False
    begun: bool = False


class Rewriter:
    """Rewrites the events of one run; ``is_agents``: whether an AID is one of its agents'."""

    def __init__(self, names: Names, clock: Clock, is_agents: Callable[[Any], bool]) -> None:
        self._names = names
        self._clock = clock
        self._is_agents = is_agents

    def event(self, event: RunEvent) -> tuple[dict[str, Any], set[str]]:
        """The fields without the step's id, and the names among them that were given beforehand."""
        used: set[str] = set()
        payload = event.payload
        place = _Place(
            prefix=str(event.get("step_id") or OUTSIDE),
            since=event.ts,
            exact="parent_jti" not in payload,
            ours=event.type != "cp.webhook.delivered",
        )
        fields = {name: value for name, value in event.fields.items() if name != "step_id"}
        if event.type.startswith(_LISTS) and not self._is_agents(payload.get("issuer")) and "peer" not in payload:
            # A Control Plane's list holds other runs' entries, and which look finds one first is chance.
            fields["payload"] = {name: value for name, value in payload.items() if name not in LISTED}
        spans = [payload[name] for name in DURATIONS if _is_number(payload.get(name))]
        if spans and isinstance(fields.get("error"), str):
            fields["error"] = _without_spans(fields["error"], spans)
        return {
            name: self._value(value, name, self._inside(name, event, place), used) for name, value in fields.items()
        }, used

    def text(self, text: str, place: str = OUTSIDE) -> str:
        """A sentence about the run."""
        return self._names.text(text, place, set())

    def _inside(self, name: str, event: RunEvent, place: _Place) -> _Place:
        if name == "result" and event.payload.get("step_type") in _WORK:
            return replace(place, ours=False)
        return place

    def _value(self, value: Any, name: str, place: _Place, used: set[str]) -> Any:
        if isinstance(value, str):
            return self._text(value, name, place, used)
        if isinstance(value, dict):
            return self._mapping(value, name, place, used)
        if isinstance(value, list):
            return self._list(value, name, place, used)
        return self._number(value, name, place) if _is_number(value) else value

    def _mapping(self, value: dict[str, Any], name: str, place: _Place, used: set[str]) -> dict[str, Any]:
        if name == "body":
            place = replace(place, ours=False)
        moments = [moment for key in ISSUED_AT if key in value and (moment := seconds_of(value[key]))]
        begun = min(moments, default=None)
        if begun is not None or place.begun:
            place = replace(place, since=place.since if begun is None else begun, begun=begun is not None)
        return {
            self._names.text(key, place.prefix, used): self._value(part, key, place, used)
            for key, part in value.items()
        }

    def _list(self, value: list[Any], name: str, place: _Place, used: set[str]) -> list[Any]:
        told = [self._value(part, name, place, used) for part in value]
        # What holds nothing but ids stands in an order of theirs, which is another in every run.
        return sorted(told) if all(isinstance(part, str) and _NAME.fullmatch(part) for part in told) else told

    def _text(self, value: str, name: str, place: _Place, used: set[str]) -> str:
        if place.ours:
            if name in ENDS_AT and (end := seconds_of(value)) is not None:
                return self._lifetime(end, place)
            if (name in MOMENTS or name in ISSUED_AT) and seconds_of(value) is not None:
                return TIME
            if name in DIGESTS and self._names.known(value) is None:
                return self._names.give(value, "digest", place.prefix, name)
        return self._names.text(value, f"{place.prefix}/{name}", used)

    def _number(self, value: float, name: str, place: _Place) -> Any:
        if place.ours:
            if name in DURATIONS:
                return _DURATION
            if name in POSITIONS:
                return "<seq>"
            if name in SHARED:
                return "<count>"
            if name == "port" and isinstance(value, int):
                return self._names.port(value)
            # With what no clock shows there is no reckoning.
            if (moment := seconds_of(value)) is not None:
                if name in GAINS:
                    return gained(value)
                if name in ENDS_AT:
                    return self._lifetime(moment, place)
        return TIME if self._clock.near(value) else value

    def _lifetime(self, end: float, place: _Place) -> str:
        return lifetime(end - place.since, exact=place.exact and place.begun)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _without_spans(text: str, spans: list[float]) -> str:
    shown = "|".join(re.escape(str(span)) for span in spans)
    return re.sub(rf"(?<![\w.])(?:{shown})(?![\w.])", _DURATION, text)
