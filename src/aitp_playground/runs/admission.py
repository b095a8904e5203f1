"""Admission: how many runs go on at once, and which one is next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aitp_playground.errors import Overloaded
from aitp_playground.runs.activations import Activation


class Admission:
    """``at_once`` places; at most ``waiting`` runs wait for one, in order. ``begin`` is called when a run gets its
    place, with True when it had to wait for it."""

    def __init__(self, *, at_once: int, waiting: int, begin: Callable[[Activation, bool], None]) -> None:
        self._at_once = at_once
        self._most_waiting = waiting
        self._begin = begin
        self._waiting: deque[Activation] = deque()
        self._running: set[Activation] = set()
        #: Runs that are being stored.
        self.opening_count = 0
        #: Why no new runs are taken, or None.
        self.closed: str | None = None

    @property
    def load(self) -> tuple[int, int]:
        """How many runs have a place, and how many wait for one."""
        return len(self._running), len(self._waiting)

    @property
    def limits(self) -> tuple[int, int]:
        """How many runs may have a place, and how many wait for one."""
        return self._at_once, self._most_waiting

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Room for one more run while it is being stored. Raises Overloaded."""
        if self.closed is not None:
            raise Overloaded(self.closed, retry_after=5)
        room = max(0, self._at_once - len(self._running)) + self._most_waiting
        if len(self._waiting) + self.opening_count >= room:
            raise Overloaded(f"{len(self._waiting)} runs are waiting already (MAX_PENDING_RUNS)", retry_after=1)
        self.opening_count += 1
        try:
            yield
        finally:
            self.opening_count -= 1

    def enter(self, run: Activation) -> None:
        """Give the run a place now, or in its turn."""
        if len(self._running) < self._at_once and not self._waiting and self.closed is None:
            self._running.add(run)
            self._begin(run, False)
        else:
            self._waiting.append(run)
            self._admit()

    def leave(self, run: Activation) -> None:
        """The run needs no place any more, whether it had one or not."""
        self._running.discard(run)
        if run in self._waiting:
            self._waiting.remove(run)
        self._admit()

    def close(self, reason: str) -> None:
        """Take no new runs, and begin none of those that wait."""
        self.closed = reason

    @property
    def running(self) -> frozenset[Activation]:
        """The runs that have a place."""
        return frozenset(self._running)

    def _admit(self) -> None:
        while self._waiting and len(self._running) < self._at_once and self.closed is None:
            run = self._waiting.popleft()
            self._running.add(run)
            self._begin(run, True)
