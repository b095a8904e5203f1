"""One order for the events of a section, the same however their emitters were scheduled.

It keeps each strand's own order and puts causes before consequences: what brings a token, a session, a key or a port
into being before whatever names it, an opening before what agents do, what agents did before what the service makes of
it. Where nothing says which of two was first, the names of their emitters decide.
"""

from __future__ import annotations

import heapq
from array import array
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

OPENING, ACTING, CLOSING, END = range(4)
_NEVER: Final = -1


class Order:
    """Is told the events strand by strand, in the order of the strands' names; an event's place is how many came before
    it. Kahn's algorithm with a heap, O(mentions · log events).

    What is kept of an event is numbers: objects, in their ten thousands, would keep the collector busy, and with it
    every thread.
    """

    def __init__(self) -> None:
        self._ranks = bytearray()
        self._strands: array[int] = array("l")
        self._strand = _NEVER
        self._makers: dict[str, int] = {}
        self._mentions: dict[str, array[int]] = defaultdict(lambda: array("l"))

    def strand(self) -> None:
        """What follows is of another strand."""
        self._strand += 1

    def add(self, rank: int, made: Iterable[str], used: Iterable[str]) -> None:
        """The next event of the strand; ``made``: the names that come into being with it, ``used``: all it mentions."""
        place = len(self._ranks)
        self._ranks.append(rank)
        self._strands.append(self._strand)
        for name in made:
            self._makers.setdefault(name, place)
        for name in used:
            self._mentions[name].append(place)

    def places(self) -> array[int]:
        """Every place once. Where two strands wait for each other, as no true log has it, the first goes on."""
        ranks, count = self._ranks, len(self._ranks)
        waits, frees = self._causes()
        ready = [(ranks[place], place) for place in range(count) if waits[place] == 0]
        heapq.heapify(ready)
        done, first, found = bytearray(count), 0, array("l")
        while len(found) < count:
            if ready:
                place = heapq.heappop(ready)[1]
            else:
                first = place = next(place for place in range(first, count) if not done[place])
            if done[place]:
                continue
            done[place] = 1
            found.append(place)
            follows = place + 1 < count and self._strands[place + 1] == self._strands[place]
            for freed in (*frees.get(place, ()), *((place + 1,) if follows else ())):
                waits[freed] -= 1
                if waits[freed] == 0:
                    heapq.heappush(ready, (ranks[freed], freed))
        return found

    def _causes(self) -> tuple[array[int], dict[int, array[int]]]:
        """How much each event waits for, and which ones of other strands wait for it."""
        strands = self._strands
        waits = array(
            "l", (1 if place and strands[place - 1] == strands[place] else 0 for place in range(len(strands)))
        )
        frees: dict[int, array[int]] = defaultdict(lambda: array("l"))
        for name, maker in self._makers.items():
            for place in self._mentions.get(name, ()):
                if strands[place] != strands[maker]:
                    waits[place] += 1
                    frees[maker].append(place)
        return waits, frees
