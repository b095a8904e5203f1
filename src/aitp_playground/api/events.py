"""The events of all runs as one stream of Server-Sent Events, in the order in which they were committed.

``id`` is a place in this store: opaque, and good over restarts. A frame with an ``id`` and nothing else says how far a
reader is: at the beginning, and when its filters let little through. ``stream.gap`` stands where runs were removed,
``stream.reset`` where a place means nothing here: of another store, or beyond the end of this one; the stream then
begins at its start.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing

from aiohttp import hdrs, web

from aitp_playground.api import query
from aitp_playground.api.backend import BACKEND, Backend
from aitp_playground.api.stream import END, HEADERS, pumped
from aitp_playground.api.streaming import joined
from aitp_playground.errors import RunNotFound
from aitp_playground.events.codec import decode_json, encode_json
from aitp_playground.events.selection import LEVELS, Selection, moment_of
from aitp_playground.store.chronicle_port import START, ChroniclePage, Entry, Position

MAX_TYPES = 50
RESET = b'data: {"type":"stream.reset"}\n\n'
#: Runs whose ref and label are remembered while a stream goes by them.
KNOWN_RUNS = 4096
_ID = re.compile(r"([0-9a-f]{16})\.([0-9]{1,16})\.([0-9]{1,16})", re.ASCII)


@query.takes("after", "since", "type", "run_id", "ref", "label", "agent", "step", "level", "follow")
async def stream_everything(request: web.Request) -> web.StreamResponse:
    """From a place, or from now on; ``follow=false`` ends with what is stored."""
    follow = query.flag(request, "follow", default=True)
    narrowed = _Narrowed(request)
    chronicle = request.app[BACKEND].chronicle
    store = await chronicle.id()
    place = _Place(store)
    head = await chronicle.head()
    after, reset = await _begin(request, place, head, default=head if follow else START)
    if request.method == hdrs.METH_HEAD:
        return web.Response(headers=HEADERS)
    run_id = narrowed.run_id
    pages = chronicle.follow(after, run_id) if follow else chronicle.pages(after, head, run_id)
    return await pumped(request, _frames(pages, narrowed, place, after, reset=reset, endless=follow))


class _Place:
    """Places of one store, as they are told to readers."""

    def __init__(self, store: str) -> None:
        self._store = store

    def told(self, position: Position) -> bytes:
        return b"%b.%d.%d" % (self._store.encode(), position.commit, position.seq)

    def read(self, text: str) -> Position | None:
        """None for a place of another store. Raises InvalidRequest for what is none."""
        found = _ID.fullmatch(text)
        if found is None:
            query.refuse("after", "must be 'start', 'head', or the id of an event of this stream")
        return Position(int(found[2]), int(found[3])) if found[1] == self._store else None


async def _begin(request: web.Request, place: _Place, head: Position, *, default: Position) -> tuple[Position, bool]:
    """Where to begin, and whether that is not where it was asked to: a browser that reconnects has read further than
    the URL it began with says."""
    given = request.headers.get("Last-Event-ID", "").strip() or query.words(request, "after", longest=64)
    if given is None:
        since = query.words(request, "since", longest=64)
        return (default if since is None else await request.app[BACKEND].chronicle.since(_time(since))), False
    if given in ("start", "head"):
        return (START if given == "start" else head), False
    position = place.read(given)
    return (START, True) if position is None or position > head else (position, False)


def _time(text: str) -> float:
    try:
        return moment_of(text)
    except ValueError as fault:
        query.refuse("since", str(fault))


class _Narrowed:
    """What of the stream is asked for."""

    def __init__(self, request: web.Request) -> None:
        types = [text for text in (query.words(request, "type", longest=1000) or "").split(",") if text]
        if len(types) > MAX_TYPES:
            query.refuse("type", f"has more than {MAX_TYPES} patterns")
        self._ref = query.words(request, "ref")
        self._label = query.words(request, "label")
        self.run_id = query.words(request, "run_id", longest=64)
        self._selection = Selection(
            types=types,
            run_id=self.run_id,
            agent=query.words(request, "agent"),
            step=query.words(request, "step"),
            level=query.choice(request, "level", LEVELS),
        )
        self._backend: Backend = request.app[BACKEND]
        self._runs: OrderedDict[str, bool] = OrderedDict()

    async def of(self, page: ChroniclePage) -> list[Entry]:
        """The entries that are wanted, in order."""
        return [entry for entry in page.entries if await self._wants(entry)]

    async def _wants(self, entry: Entry) -> bool:
        selection = self._selection
        if not selection.wants(entry.run_id, entry.event.type) or not await self._is_of_such_a_run(entry.run_id):
            return False
        return not selection.looks_inside or selection.holds(decode_json(entry.event.body))

    async def _is_of_such_a_run(self, run_id: str) -> bool:
        if self._ref is None and self._label is None:
            return True
        if (known := self._runs.get(run_id)) is not None:
            return known
        try:
            header = (await self._backend.directory.row(run_id)).header
        except RunNotFound:
            return False
        wanted = self._ref in (None, header.scenario_ref) and self._label in (None, header.run_label)
        self._runs[run_id] = wanted
        if len(self._runs) > KNOWN_RUNS:
            self._runs.popitem(last=False)
        return wanted


async def _frames(
    pages: AsyncGenerator[ChroniclePage],
    narrowed: _Narrowed,
    place: _Place,
    after: Position,
    *,
    reset: bool,
    endless: bool,
) -> AsyncGenerator[Generator[bytes]]:
    async with aclosing(pages):
        # Whoever is cut off before the first event comes back to here, not to wherever the stream is by then.
        yield joined([RESET if reset else b"", b"id: %b\n\n" % place.told(after)])
        async for page in pages:
            wanted = await narrowed.of(page)
            yield joined([*_gap(page), *_of(wanted, place), b"id: %b\n\n" % place.told(page.after)])
        if not endless:
            yield joined([END])


def _of(entries: list[Entry], place: _Place) -> Generator[bytes]:
    for entry in entries:
        yield b"id: %b\ndata: " % place.told(entry.position)
        yield entry.event.body
        yield b"\n\n"


def _gap(page: ChroniclePage) -> list[bytes]:
    if not page.removed and not page.forgotten:
        return []
    told = {"type": "stream.gap", "runs": list(page.removed), **({"more": True} if page.forgotten else {})}
    return [b"data: ", encode_json(told), b"\n\n"]


ROUTES = [web.get("/events", stream_everything)]
