"""How much of this agent's attention a sender may have, counted before any signature is looked at.

A peer that was introduced has a budget of its own, which is charged only for what carries its signature: nobody else
can use it up. Strangers, and those who only write a peer's name, share one, in which no single AID gets more than its
part, so they can shut out each other and nobody else. RFC-AITP-0004, section 11.4, and RFC-AITP-0009, section 3.1, ask
for such limits and recommend numbers.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from base.refusals import Flooded

#: How many of those who have proven nothing are answered in a second, how many at once before anybody waits for that,
#: and how long one waits at most.
UNPROVEN = 300
AT_ONCE = 50
LONGEST_WAIT = 1.0

#: Under what name is kept what strangers have together; no AID reads like this.
STRANGERS = "strangers"

MINUTE = 60.0
#: Handshakes that strangers may begin in a minute: each of them, and all together.
PER_STRANGER = 10
ALL_STRANGERS = 30
#: Messages that an introduced peer may send in a second.
PER_PEER = 100

Clock = Callable[[], float]


class Window:
    """At most ``limit`` events in any ``seconds``. It remembers each of them, so its memory is its limit."""

    def __init__(self, limit: int, seconds: float, clock: Clock = time.monotonic) -> None:
        self._limit = limit
        self._seconds = seconds
        self._clock = clock
        self._taken: deque[float] = deque()

    def wait(self) -> float:
        """Seconds until the next event is within the limit; 0 when it is now."""
        now = self._clock()
        while self._taken and self._taken[0] <= now - self._seconds:
            self._taken.popleft()
        return 0.0 if len(self._taken) < self._limit else self._taken[0] + self._seconds - now

    def take(self) -> None:
        """Count one event."""
        self._taken.append(self._clock())

    @property
    def idle(self) -> bool:
        """Whether nothing in it counts any more."""
        return self.wait() == 0.0 and not self._taken


class Strangers:
    """The budget that those share whom nobody introduced."""

    def __init__(self, each: int = PER_STRANGER, together: int = ALL_STRANGERS, clock: Clock = time.monotonic) -> None:
        self._each = each
        self._clock = clock
        self._all = Window(together, MINUTE, clock)
        # No more AIDs can be within a window than the window of all lets through.
        self._by_aid: OrderedDict[str, Window] = OrderedDict()

    def charge(self, aid: str) -> None:
        """Count one message that claims to be of ``aid``. Raises :class:`Flooded`, which is not counted."""
        own = self._by_aid.get(aid) or Window(self._each, MINUTE, self._clock)
        if wait := max(own.wait(), self._all.wait()):
            raise Flooded(wait)
        own.take()
        self._all.take()
        self._by_aid[aid] = own
        self._by_aid.move_to_end(aid)
        while self._by_aid and next(iter(self._by_aid.values())).idle:
            self._by_aid.popitem(last=False)


class PeerBudgets:
    """A window for each, of ``seconds``: of an introduced peer's messages, unless it is told of others."""

    def __init__(self, limit: int = PER_PEER, seconds: float = 1.0, clock: Clock = time.monotonic) -> None:
        self._limit = limit
        self._seconds = seconds
        self._clock = clock
        self._windows: dict[str, Window] = {}

    def check(self, aid: str) -> None:
        """Raises :class:`Flooded` when there was too much of that one in the time that counts."""
        if wait := self._window(aid).wait():
            raise Flooded(wait)

    def charge(self, aid: str) -> None:
        """Count what is shown to be that one's."""
        self._window(aid).take()

    def _window(self, aid: str) -> Window:
        if aid not in self._windows:
            self._windows = {known: window for known, window in self._windows.items() if not window.idle}
        return self._windows.setdefault(aid, Window(self._limit, self._seconds, self._clock))


class Pace:
    """Answers to those who have proven nothing, one after another once they are many: whoever sends the next message
    only then is slowed down, and those who are served have the processor for themselves."""

    def __init__(
        self,
        rate: float = UNPROVEN,
        at_once: int = AT_ONCE,
        longest: float = LONGEST_WAIT,
        clock: Clock = time.monotonic,
    ) -> None:
        self._step = 1 / rate
        self._ahead = at_once / rate
        self._longest = longest
        self._clock = clock
        self._next = 0.0

    async def wait(self) -> None:
        """Wait for this answer's turn."""
        if turn := self.turn():
            await asyncio.sleep(turn)

    def turn(self) -> float:
        """Seconds until the turn of one more answer."""
        now = self._clock()
        self._next = min(max(now, self._next) + self._step, now + self._ahead + self._longest)
        return max(0.0, self._next - self._ahead - now)
