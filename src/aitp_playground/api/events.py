"""The events of all runs as one stream of Server-Sent Events, in the order in which they were committed.

``id`` is a place in this store: opaque, and good over restarts. A frame with an ``id`` and nothing else says how far a
reader is: at the beginning, and when its filters let little through. ``stream.gap`` stands where runs were removed,
``stream.reset`` where a place means nothing here: of another store, or of what this one had before it was put back from
a copy; the stream then begins at its start.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from typing import Literal, NotRequired

from aiohttp import hdrs, web
from typing_extensions import TypedDict

from aitp_playground.api import query
from aitp_playground.api.backend import BACKEND, Backend
from aitp_playground.api.contract.operations import EVENT_STREAM, EVENTS, STORE, Answer, operation
from aitp_playground.api.documents import Event, StreamEnd
from aitp_playground.api.stream import END, HEADERS, pumped
from aitp_playground.api.streaming import joined
from aitp_playground.errors import RunNotFound
from aitp_playground.events.codec import decode_json, encode_json
from aitp_playground.events.selection import LEVELS, Selection, moment_of
from aitp_playground.runs.chronicle import Chronicle
from aitp_playground.store.chronicle_port import START, ChroniclePage, Entry, Position

TAG = EVENTS
MAX_TYPES = 50
LONGEST_TYPES = 1000
RESET = b'data: {"type":"stream.reset"}\n\n'
#: Runs whose ref and label are remembered while a stream goes by them.
KNOWN_RUNS = 4096
_ID = re.compile(r"([0-9a-f]{16})\.([0-9]{1,16})\.([0-9]{1,16})", re.ASCII)
_NO_PLACE = "must be 'start', 'head', or the id of an event of this stream"
_WORDS = ("start", "head")


def _told(text: str) -> str:
    if text not in _WORDS and _ID.fullmatch(text) is None:
        raise ValueError(_NO_PLACE)
    return text


def _types(text: str) -> list[str]:
    patterns = [part for part in text.split(",") if part]
    if not 0 < len(text) <= LONGEST_TYPES:
        raise ValueError(f"must have 1 to {LONGEST_TYPES} characters")
    if len(patterns) > MAX_TYPES:
        raise ValueError(f"has more than {MAX_TYPES} patterns")
    return patterns


_PATTERN = f"{'|'.join(_WORDS)}|{_ID.pattern}"
_AFTER = query.Parsed(
    "after",
    "`start`, `head`, or the `id` of a frame: what comes after it. Without it, and without `since`: `head`, or `start` "
    "with `follow=false`.",
    parse=_told,
    shape={"type": "string", "pattern": f"^(?:{_PATTERN})$"},
)
_LAST = query.Parsed(
    "Last-Event-ID",
    "As `after`, and it counts before that.",
    parse=_told,
    shape={"type": "string", "pattern": f"^(?:|{_PATTERN})$"},
)
_SINCE = query.Parsed(
    "since",
    "From the commits of then on: a duration before now (`90s`, `10m`, `2h`, `7d`) or a time with its zone.",
    parse=moment_of,
    shape={"anyOf": [{"type": "string", "pattern": "^[0-9]{1,9}[smhd]$"}, {"type": "string", "format": "date-time"}]},
)
_FOLLOW = query.Flag("follow", "Whether to go on with what comes; it ends with what is stored when not.", default=True)
_TYPE = query.Parsed(
    "type",
    "Types of events, with `*`, `?` and `[…]`; several with commas between.",
    parse=_types,
    shape={"type": "string", "minLength": 1, "maxLength": LONGEST_TYPES},
)
_RUN_ID = query.Words("run_id", "Only events of this run.", longest=64)
_REF = query.Words("ref", "Only events of runs of this scenario.")
_LABEL = query.Words("label", "Only events of runs with this label.")
_AGENT = query.Words("agent", "Only events that name it as `agent_id`, `agent`, `initiator` or `target`.")
_STEP = query.Words("step", "Only events of the steps with this id.")
_LEVEL = query.Choice("level", "Only events of this level at least, see docs/events.md.", known=LEVELS)


class StreamGap(TypedDict):
    """Here stood events of runs that were removed. `more`: of others too, too many to be remembered."""

    type: Literal["stream.gap"]
    runs: list[str]
    more: NotRequired[Literal[True]]


class StreamReset(TypedDict):
    """What was asked for is no place in the history of this store as it is now: this begins at the start."""

    type: Literal["stream.reset"]


@operation(
    "streamEvents",
    "Stream the events of all runs",
    Answer(
        "A frame for each event, `id` a place in this store.",
        content_type=EVENT_STREAM,
        frames=Event | StreamGap | StreamReset | StreamEnd,
    ),
    headers=(_LAST,),
    raises=STORE,
)
@query.takes(_AFTER, _SINCE, _TYPE, _RUN_ID, _REF, _LABEL, _AGENT, _STEP, _LEVEL, _FOLLOW)
async def stream_everything(request: web.Request) -> web.StreamResponse:
    """From a place, or from now on; ``follow=false`` ends with what is stored."""
    follow = _FOLLOW.on(request)
    narrowed = _Narrowed(request)
    chronicle = request.app[BACKEND].chronicle
    head = await chronicle.head()
    after, reset = await _begin(request, chronicle, head, default=head if follow else START)
    if request.method == hdrs.METH_HEAD:
        return web.Response(headers=HEADERS)
    run_id = narrowed.run_id
    pages = chronicle.follow(after, run_id) if follow else chronicle.pages(after, head, run_id)
    return await pumped(request, _frames(pages, narrowed, after, reset=reset, endless=follow))


def _id(position: Position) -> bytes:
    """A place as it is told to readers."""
    return b"%b.%d.%d" % (position.era.encode(), position.commit, position.seq)


async def _begin(
    request: web.Request, chronicle: Chronicle, head: Position, *, default: Position
) -> tuple[Position, bool]:
    """Where to begin, and whether that is not where it was asked to: a browser that reconnects has read further than
    the URL it began with says."""
    header = request.headers.get(_LAST.name, "").strip()
    given = _LAST.read(header) if header else _AFTER.of(request)
    if given is None:
        since = _SINCE.of(request)
        return await chronicle.placed(default) if since is None else await chronicle.since(since), False
    if given in _WORDS:
        return await chronicle.placed(START) if given == "start" else head, False
    found = _ID.fullmatch(given)
    if found is None:
        _AFTER.refuse(_NO_PLACE)
    position = await chronicle.placed(Position(int(found[2]), int(found[3])))
    lost = position > head or position.era != found[1]
    return await chronicle.placed(START) if lost else position, lost


class _Narrowed:
    """What of the stream is asked for."""

    def __init__(self, request: web.Request) -> None:
        self._ref = _REF.of(request)
        self._label = _LABEL.of(request)
        self.run_id = _RUN_ID.of(request)
        self._selection = Selection(
            types=_TYPE.of(request) or (),
            run_id=self.run_id,
            agent=_AGENT.of(request),
            step=_STEP.of(request),
            level=_LEVEL.of(request),
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
    after: Position,
    *,
    reset: bool,
    endless: bool,
) -> AsyncGenerator[Generator[bytes]]:
    async with aclosing(pages):
        # Whoever is cut off before the first event comes back to here, not to wherever the stream is by then.
        yield joined([RESET if reset else b"", b"id: %b\n\n" % _id(after)])
        async for page in pages:
            wanted = await narrowed.of(page)
            yield joined([*_gap(page), *_of(wanted), b"id: %b\n\n" % _id(page.after)])
        if not endless:
            yield joined([END])


def _of(entries: list[Entry]) -> Generator[bytes]:
    for entry in entries:
        yield b"id: %b\ndata: " % _id(entry.position)
        yield entry.event.body
        yield b"\n\n"


def _gap(page: ChroniclePage) -> list[bytes]:
    if not page.removed and not page.forgotten:
        return []
    told = {"type": "stream.gap", "runs": list(page.removed), **({"more": True} if page.forgotten else {})}
    return [b"data: ", encode_json(told), b"\n\n"]


ROUTES = [web.get("/events", stream_everything)]
