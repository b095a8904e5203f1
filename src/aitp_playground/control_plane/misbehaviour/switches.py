"""Misbehaviour on demand: what is switched on, for which requests, how many times more.

A switch in JSON::

    {"id": "s1", "fault": "status", "status": 503, "calls": 3, "method": "POST", "path": "/api/events"}

``method`` and ``path`` (a prefix) say which requests it meets, ``calls`` how many of them before it is gone; without
them it meets all, until cleared.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any, Final

#: Fault → the fields it knows, with their defaults. None: any.
_REQUESTS: Final[dict[str, Any]] = {"method": None, "path": None, "calls": None}
FAULTS: Final[dict[str, dict[str, Any]]] = {
    "delay": {**_REQUESTS, "seconds": 1.0},
    "black_hole": _REQUESTS,
    "status": {**_REQUESTS, "status": 500},
    "html": {**_REQUESTS, "status": 200},
    "truncate": _REQUESTS,
    "drop": _REQUESTS,
    "forged_list": {"calls": None, "how": "tampered"},
    "duplicate_delivery": {"calls": None},
    "reorder_deliveries": {"calls": None, "seconds": 2.0},
    "database_lost": {},
    "inserts_blocked": {},
    "no_keys": {},
}
FORGERIES: Final = ("tampered", "foreign", "emptied", "stale")
_MOST_SECONDS: Final = 600.0
_MOST_SWITCHES: Final = 64


class SwitchInvalid(ValueError):
    """A switch cannot be set; the message names the field."""


@dataclass(slots=True, kw_only=True)
class Switch:
    """One fault that is switched on. ``calls`` counts down; ``seconds`` is a wait, ``how`` the kind of forgery."""

    id: str
    fault: str
    method: str | None = None
    path: str | None = None
    calls: int | None = None
    seconds: float | None = None
    status: int | None = None
    how: str | None = None

    def meets(self, method: str, path: str) -> bool:
        """Whether a request is one of those this switch is for."""
        return (self.method is None or self.method == method) and (self.path is None or path.startswith(self.path))

    def shown(self) -> dict[str, Any]:
        """The switch as JSON, without what it has no use for."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class Switches:
    """The faults that are on, oldest first; an older one is spent before a newer one of the same kind."""

    def __init__(self) -> None:
        self._on: list[Switch] = []
        self._numbers = count(1)
        self._overtaken: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Event()

    def __iter__(self) -> Iterator[Switch]:
        return iter(tuple(self._on))

    def set(self, wanted: Mapping[str, Any]) -> Switch:
        """Switch a fault on. Raises ``SwitchInvalid``."""
        if len(self._on) >= _MOST_SWITCHES:
            raise SwitchInvalid(f"at most {_MOST_SWITCHES} switches can be on")
        switch = _switch(wanted, f"s{next(self._numbers)}")
        self._on.append(switch)
        return switch

    def clear(self, switch_id: str | None = None) -> int:
        """Switch one off, or all of them. Returns how many were on."""
        kept = [] if switch_id is None else [switch for switch in self._on if switch.id != switch_id]
        cleared = len(self._on) - len(kept)
        self._on = kept
        self._changed.set()
        self._changed = asyncio.Event()
        return cleared

    def on(self, fault: str) -> bool:
        """Whether a fault is on; spends nothing."""
        return any(switch.fault == fault for switch in self._on)

    def take(self, fault: str, method: str = "", path: str = "") -> Switch | None:
        """Spend one call of the first switch of this kind that meets the request."""
        for switch in self._on:
            if switch.fault == fault and switch.meets(method, path):
                return self._spent(switch)
        return None

    def _spent(self, switch: Switch) -> Switch:
        if switch.calls is not None:
            switch.calls -= 1
            if switch.calls == 0:
                self._on.remove(switch)
        return switch

    async def cleared(self, gone: Callable[[], bool]) -> None:
        """Wait until switches are cleared, or ``gone`` (asked four times a second) says that nobody waits any more."""
        changed = self._changed
        while not changed.is_set() and not gone():
            with suppress(TimeoutError):
                async with asyncio.timeout(0.25):
                    await changed.wait()

    @asynccontextmanager
    async def delivery(self, hook: str) -> AsyncIterator[int]:
        """Around one webhook delivery: how many copies to send at once. May hold it back for the next to overtake."""
        earlier = self._overtaken.pop(hook, None)
        if earlier is None and (switch := self.take("reorder_deliveries")) is not None:
            await self._held_back(hook, switch.seconds or 0)
        try:
            yield 2 if self.take("duplicate_delivery") is not None else 1
        finally:
            if earlier is not None:
                earlier.set()

    async def _held_back(self, hook: str, most: float) -> None:
        passed = self._overtaken[hook] = asyncio.Event()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(most):
                    await passed.wait()
        finally:
            if self._overtaken.get(hook) is passed:
                del self._overtaken[hook]


def parsed(text: str) -> dict[str, Any]:
    """A switch as a start-up option: ``status status=503 calls=3 path=/api/events``. Raises ``SwitchInvalid``."""
    try:
        fault, *fields = shlex.split(text)
        wanted: dict[str, Any] = {"fault": fault}
        for field in fields:
            name, _, value = field.partition("=")
            wanted[name] = _NUMBERS.get(name, str)(value)
    except ValueError as wrong:
        raise SwitchInvalid(f"{text!r} is no switch; write FAULT NAME=VALUE …") from wrong
    return wanted


_NUMBERS: Final[dict[str, Callable[[str], Any]]] = {"calls": int, "status": int, "seconds": float}


def _switch(wanted: Mapping[str, Any], switch_id: str) -> Switch:
    fields = dict(wanted)
    fault = fields.pop("fault", None)
    known = FAULTS.get(fault) if isinstance(fault, str) else None
    if known is None:
        raise SwitchInvalid(f"fault must be one of {', '.join(FAULTS)}")
    if unknown := sorted(map(str, fields.keys() - known.keys())):
        raise SwitchInvalid(f"{fault} has no {', '.join(unknown)}; it knows {', '.join(known) or 'no fields'}")
    fields = {**known, **{name: value for name, value in fields.items() if value is not None}}
    for name, value in fields.items():
        if value is not None:
            _check(name, value)
    if fields.get("method"):
        fields["method"] = fields["method"].upper()
    return Switch(id=switch_id, fault=str(fault), **fields)


def _check(name: str, value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    whole = number and isinstance(value, int)
    right = {
        "method": isinstance(value, str),
        "path": isinstance(value, str) and value.startswith("/"),
        "calls": whole and value >= 1,
        "seconds": number and 0 <= value <= _MOST_SECONDS,
        "status": whole and 200 <= value <= 599,
        "how": value in FORGERIES,
    }
    if not right[name]:
        raise SwitchInvalid(f"{name} does not take {value!r}")
