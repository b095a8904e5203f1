"""ViewCache: folds of recently read runs, so that polling a run costs only its new events."""

from __future__ import annotations

from collections import OrderedDict

from aitp_playground.events.codec import decode
from aitp_playground.runs.state import RunState, fold
from aitp_playground.store.port import RunStore

CAPACITY = 256
#: What the ids of deliveries and the names of steps of all folds together may be, in number.
MOST_ENTRIES = 100_000


async def stored_state(store: RunStore, run_id: str) -> RunState:
    """The state of a run as far as it is on disk, folded afresh: the caller's own."""
    state, more = RunState(), True
    while more:
        page = await store.read(run_id, after=state.seq)
        fold((decode(entry.body) for entry in page.events), state)
        more = page.more
    return state


class ViewCache:
    """The state of a run as far as it is on disk. What is handed out is shared: do not change it."""

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._states: OrderedDict[str, RunState] = OrderedDict()

    async def state(self, run_id: str) -> RunState:
        """Fold what is stored beyond what was folded last time."""
        known = self._states.get(run_id)
        state = RunState() if known is None else known
        position, more = state.seq, True
        while more:
            page = await self._store.read(run_id, after=position)
            # Another reader may have folded these meanwhile: apply only what continues the state.
            for entry in page.events:
                if entry.seq == state.seq + 1:
                    state.apply(decode(entry.body))
            position, more = page.next_after, page.more
        self._states[run_id] = state
        self._states.move_to_end(run_id)
        while len(self._states) > 1 and (len(self._states) > CAPACITY or self._entries() > MOST_ENTRIES):
            self._states.popitem(last=False)
        return state

    def _entries(self) -> int:
        return sum(len(state.delivered) + len(state.results) for state in self._states.values())

    def forget(self, run_id: str) -> None:
        """The run was deleted."""
        self._states.pop(run_id, None)
