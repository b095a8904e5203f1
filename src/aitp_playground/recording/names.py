"""Names for what differs from run to run, and finding it: as a value of its own, and inside of texts.

What is known beforehand (:mod:`aitp_playground.recording.learning`) is found wherever it stands. What only looks as if
it differed from run to run, because it is a UUID, an AID or the mark of a token, is named after the place at which it
stands first.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator, Iterable
from collections.abc import Set as AbstractSet
from typing import Any, Final

from aitp_playground.events.tokens import TOKEN, fingerprint
from aitp_playground.recording.clock import TIME, Clock

#: Shorter texts are no ids: one that named itself ``1`` would rename every 1.
_SHORTEST: Final = 8
_UUID_SHAPE: Final = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_UUID: Final = re.compile(_UUID_SHAPE)
_SHAPES: Final = re.compile(
    rf"""
      (?P<jws>{TOKEN.pattern})
    | (?P<aid>aid:pubkey:(?:[a-z0-9]+:)?[A-Za-z0-9_-]+)
    | (?P<token>sha256:[0-9a-f]{{64}})
    | (?P<uuid>{_UUID_SHAPE}(?![A-Za-z0-9_-]))
    | (?P<date>\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{{1,9}})?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)
    | (?P<moment>(?<![\w.])1\d{{9}}(?:\.\d{{1,9}})?(?![\w.]))
    | (?<=[\w\]])(?P<colon>:|%3A)(?P<port>\d{{2,5}})(?!\d)
    | (?P<seq>\bseq\ \d+\b)
    | (?P<word>[A-Za-z0-9_-]{{20,}})
    """,
    re.VERBOSE | re.ASCII,
)
#: An Ed25519 key's AID may say so, and is the same agent's without it.
_TAGGED, _UNTAGGED = "aid:pubkey:ed25519:", "aid:pubkey:"
_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")
#: Texts of fewer characters than ten digits hold something only with one of these.
_LEAST: Final = 10
_SIGNS: Final = re.compile(r"[:%]|seq ")
_MOST_ORIGINS: Final = 8
#: Characters that are looked through at once: a match keeps every other thread waiting.
_PIECE: Final = 16 * 1024
_GAP: Final = re.compile(r"\s")
#: Texts whose outcome is remembered, and how long one may be.
_REMEMBERED, _SHORT = 20_000, 200
_NONE: Final[frozenset[str]] = frozenset()


class Names:
    """The names of one run. ``used`` of a call is given the names that it finds and that were given beforehand."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, str] = {}
        self._given: Counter[str] = Counter()
        self._ports: dict[int, str] = {}
        self._origins: dict[str, str] = {}
        self._remembered: dict[str, tuple[str, AbstractSet[str]]] = {}
        self._made: set[str] = set()

    def give(self, value: str, kind: str, *parts: str) -> str:
        """Name ``value``, once: ``<kind:part/part>``, and ``…/2`` for another value of that name.

        What is too short for an id stays as it is.
        """
        if len(value) < _SHORTEST:
            return value
        if (known := self._known.get(value)) is None:
            name = f"{kind}:{'/'.join(parts)}"
            self._given[name] += 1
            count = self._given[name]
            known = self._known[value] = f"<{name}>" if count == 1 else f"<{name}/{count}>"
        return known

    def keep(self, value: str) -> None:
        """This one is the same in every such run."""
        self._known.setdefault(value, value)

    def call(self, value: str, name: str) -> None:
        """Give ``value`` this very name, as there is but one of its kind; nothing for what is too short."""
        if len(value) >= _SHORTEST:
            self._known.setdefault(value, f"<{name}>")

    def give_port(self, port: int, owner: str) -> None:
        """The port is this agent's."""
        self._ports.setdefault(port, f"<port:{owner}>")

    def call_origin(self, origin: str, name: str) -> None:
        """Scheme, host and port of a URL that is no agent's; of the first few, as each is looked for in every URL."""
        if len(self._origins) < _MOST_ORIGINS:
            self._origins.setdefault(origin, f"<url:{name}>")

    def settle(self) -> None:
        """What is named from now on is named after the place where it is found."""
        self._made = set(self._known.values())

    def known(self, value: str) -> str | None:
        """The name that this value has."""
        return self._known.get(value)

    def port(self, port: int) -> str | int:
        """The name of an agent's port; any other as it is."""
        return self._ports.get(port, port)

    def text(self, text: str, place: str, used: set[str]) -> str:
        """``text`` with names in the place of what they stand for; the same text gives the same outcome ever after."""
        if len(text) < _LEAST and (len(text) < _SHORTEST or (text not in self._known and not _SIGNS.search(text))):
            return text
        if (remembered := self._remembered.get(text)) is None:
            found: set[str] = set()
            whole = self._known.get(text)
            if whole is None:
                whole = self._inside(text, place, found)
            elif whole in self._made:
                found.add(whole)
            remembered = (whole, found or _NONE)
            if len(text) <= _SHORT and len(self._remembered) < _REMEMBERED:
                self._remembered[text] = remembered
        used |= remembered[1]
        return remembered[0]

    def _inside(self, text: str, place: str, used: set[str]) -> str:
        if "://" in text:
            for origin, name in self._origins.items():
                text = text.replace(origin, name)

        def named(match: re.Match[str]) -> str:
            name = self._named(match, place)
            if name in self._made:
                used.add(name)
            return name

        return "".join(_SHAPES.sub(named, piece) for piece in _pieces(text))

    def _named(self, match: re.Match[str], place: str) -> str:
        kind, found = match.lastgroup, match[0]
        if kind == "jws":
            # Outside of the log, a token stands as its fingerprint: both are one value.
            kind, found = "token", fingerprint(found)
        known = self._known.get(found) or self._known.get(found.lower())
        if known is None and kind == "aid":
            known = self._known.get(found.replace(_TAGGED, _UNTAGGED, 1))
        if known is not None:
            return known
        match kind:
            case "aid" | "token" | "uuid":
                return self.give(found, kind, place)
            case "date":
                return TIME if self._clock.text_is_near(found) else found
            case "moment":
                return TIME if self._clock.near(float(found)) else found
            case "seq":
                return "seq <seq>"
            case "port":
                return self._port_in(match)
            case _:
                return _UUID.sub(lambda part: self._uuid(part[0], place), found)

    def _uuid(self, found: str, place: str) -> str:
        return self._known.get(found) or self._known.get(found.lower()) or self.give(found, "uuid", place)

    def _port_in(self, match: re.Match[str]) -> str:
        name = self._ports.get(int(match["port"]))
        if name is None:
            # Whoever it is, he listens on this machine, where ports are given as they are free.
            local = match.string.endswith(_LOOPBACK, 0, match.start())
            name = "<port:other>" if local else match["port"]
        return f"{match['colon']}{name}"


def _pieces(text: str) -> Generator[str]:
    """The text in pieces that end at white space, where there is any."""
    start = 0
    while len(text) - start > _PIECE:
        gap = _GAP.search(text, start + _PIECE, start + 2 * _PIECE)
        end = gap.end() if gap else start + 2 * _PIECE
        yield text[start:end]
        start = end
    yield text[start:] if start else text


def shapes_in(value: Any) -> Generator[str]:
    """What in some JSON looks as if it differed from run to run."""
    if isinstance(value, str):
        for piece in _pieces(value):
            yield from (match[0] for match in _SHAPES.finditer(piece) if match.lastgroup in {"aid", "uuid", "date"})
    elif isinstance(value, dict | list):
        parts: Iterable[Any] = [*value, *value.values()] if isinstance(value, dict) else value
        for part in parts:
            yield from shapes_in(part)
