"""Playgrounds whose agents write down what their token books hold, and the same as it follows from a run's changes."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from aitp_playground.events.model import RunEvent
from aitp_playground.events.vocabulary import AGENT_TYPES
from aitp_playground.service import Playground
from tests.support.controls import SHIPPED, Control, write_controls
from tests.support.playground import Outcome, playground_at, run
from tests.support.tapped import wrap_workers

Document = dict[str, Any]
_NAMING = {"agent.ready", "identity.key.rotated"}
#: The other side, the grants, the expiry.
Told = tuple[str, tuple[str, ...], float]


@dataclass
class Book:
    """``denied``: of the tokens in it, those that somebody else's list names."""

    held: dict[str, Told] = field(default_factory=dict)
    issued: dict[str, Told] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Booked:
    """A playground whose agents keep a record of their books."""

    running: Playground
    file: Path
    refs: Mapping[str, str]

    async def run(self, ref: str, template: str | None = None) -> tuple[Outcome, list[Document], list[Document]]:
        """The run, what its agents wrote down, and the changes that the API tells."""
        self.file.unlink(missing_ok=True)
        outcome = await run(self.running, ref, template=template)
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        async with (
            aiohttp.ClientSession(self.running.url) as http,
            http.get(f"/runs/{outcome.run_id}/trust") as answer,
        ):
            assert answer.status == 200
            told = await answer.json()
        assert (told["run_id"], told["upto"]) == (outcome.run_id, len(outcome.events))
        return outcome, [json.loads(line) for line in lines], told["changes"]


@contextlib.asynccontextmanager
async def booked(base: Path, controls: Sequence[Control], **settings: Any) -> AsyncIterator[Booked]:
    """The shipped scenarios as they are, and some controls, with workers that keep a record."""
    root, refs = write_controls(base, controls)
    shutil.copytree(SHIPPED, root, dirs_exist_ok=True)
    file = base / "books"
    wrap_workers(root, "booked.main", "BOOK_WORKER", {"BOOK_FILE": str(file)})
    async with playground_at(base / "state", scenarios_dir=str(root), **settings) as running:
        yield Booked(running, file, refs)


def of_changes(changes: Iterable[Document], upto: int) -> dict[str, Book]:
    """The book of each agent after the event ``upto``."""
    books: dict[str, Book] = {}
    for change in changes:
        if change["seq"] > upto:
            break
        book, jti = books.setdefault(change["agent"], Book()), change.get("jti", "")
        match change["op"]:
            case "held":
                book.held[jti] = (change["issuer"], tuple(change["grants"]), change["exp"])
            case "issued":
                book.issued[jti] = (change["holder"], tuple(change["grants"]), change["exp"])
            case "dropped":
                del (book.held if change["side"] == "held" else book.issued)[jti]
            case "revoked":
                book.revoked.add(jti.lower())
            case "denied":
                book.denied.add(jti.lower())
            case "rotated":
                book.held, book.issued = {}, {}
    for book in books.values():
        book.denied &= {jti.lower() for jti in (*book.held, *book.issued)}
    return books


def of_records(records: Iterable[Document], events: Sequence[RunEvent]) -> Iterator[tuple[int, dict[str, Book]]]:
    """The same after each event, as the agents themselves had it when they had reported as much as the log holds."""
    names, aids = {}, {}
    for event in events:
        if event.type in _NAMING:
            names[str(event.get("aid"))] = str(event.get("agent_id") or event.get("agent"))
    # Of several the last: what was done since the event before is told by the next.
    kept = {(each["agent"], each["aid"], each["reported"]): _book(each, names) for each in records}
    reported: Counter[str] = Counter()
    for event in events:
        if event.type in _NAMING:
            aids[names[str(event.get("aid"))]] = str(event.get("aid"))
        if event.type in AGENT_TYPES:
            reported[str(event.get("agent_id"))] += 1
        yield event.seq, {agent: kept[agent, aids[agent], number] for agent, number in reported.items()}


def _book(record: Document, names: Mapping[str, str]) -> Book:
    def told(tokens: Mapping[str, Any]) -> dict[str, Told]:
        return {jti: (names.get(aid, aid), tuple(grants), exp) for jti, (aid, grants, exp) in tokens.items()}

    revoked, denied = {jti.lower() for jti in record["revoked"]}, {jti.lower() for jti in record["denied"]}
    return Book(told(record["held"]), told(record["issued"]), revoked, denied)
