"""Parameters of requests: one object each, which says what may be given, reads it, and stands in the contract.

Each route names its own. A query parameter that it does not know, one given twice, and a wrong value are 422.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NoReturn, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler

from aitp_playground.errors import InvalidRequest
from aitp_playground.scenarios.findings import meant

#: Greatest ``seq`` that JSON numbers carry exactly everywhere.
MAX_SEQ = 2**53
MAX_PAGE = 1000
#: Characters of a text that has no bound of its own.
LONGEST = 512
_DIGITS = re.compile(r"[0-9]{1,16}", re.ASCII)
_FLAGS = {"true": True, "1": True, "false": False, "0": False}

T = TypeVar("T")
HandlerT = TypeVar("HandlerT", bound=Handler)


@dataclass(frozen=True)
class Parameter(Generic[T]):
    """``about`` says what it is for; ``default`` what stands for it when it is not given."""

    name: str
    about: str
    default: T | None = field(default=None, kw_only=True)

    def of(self, request: web.Request) -> T | None:
        """Its value in the query, or the default. Raises InvalidRequest naming it."""
        given = request.query.get(self.name)
        return self.default if given is None else self.read(given)

    def read(self, given: str) -> T:
        """Its value. Raises InvalidRequest naming it."""
        raise NotImplementedError

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of what :meth:`read` takes."""
        raise NotImplementedError

    def refuse(self, message: str) -> NoReturn:
        """Raises InvalidRequest; ``details`` names the parameter."""
        refuse(self.name, message)


@dataclass(frozen=True)
class Whole(Parameter[int]):
    """A whole number between ``low`` and ``high``, in plain digits. ``blank``: the header of a ``seq``, which may
    stand empty."""

    low: int = field(kw_only=True)
    high: int = field(kw_only=True)
    blank: bool = field(default=False, kw_only=True)

    def read(self, given: str) -> int:
        if _DIGITS.fullmatch(given) is None or not self.low <= int(given) <= self.high:
            self.refuse(f"must be a whole number from {self.low} to {self.high}")
        return int(given)

    @property
    def schema(self) -> dict[str, Any]:
        if self.blank:
            # Almost all that is taken, and nothing else; a union would be lost on makers of clients.
            return {"type": "string", "pattern": "^(?:[0-9]{0,15}|[0-8][0-9]{15})$"}
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class Flag(Parameter[bool]):
    """``true``, ``false``, ``1`` or ``0``."""

    def read(self, given: str) -> bool:
        if given not in _FLAGS:
            self.refuse("must be true or false")
        return _FLAGS[given]

    def on(self, request: web.Request) -> bool:
        """Whether it is given and true, or not given and true by default."""
        return bool(self.of(request))

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Choice(Parameter[str]):
    """One of ``known``."""

    known: Collection[str] = field(kw_only=True)

    def read(self, given: str) -> str:
        if given not in self.known:
            self.refuse(f"must be one of {', '.join(sorted(self.known))}")
        return given

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.known)}


@dataclass(frozen=True)
class Words(Parameter[str]):
    """A text of 1 to ``longest`` characters, with ``plain`` none of them a control character."""

    longest: int = field(default=LONGEST, kw_only=True)
    plain: bool = field(default=False, kw_only=True)

    def read(self, given: str) -> str:
        if not 0 < len(given) <= self.longest or (self.plain and _CONTROL.search(given)):
            more = ", none of them a control character" if self.plain else ""
            self.refuse(f"must have 1 to {self.longest} characters{more}")
        return given

    @property
    def schema(self) -> dict[str, Any]:
        bounds = {"type": "string", "minLength": 1, "maxLength": self.longest}
        return {**bounds, "pattern": r"^[^\x00-\x1f\x7f]*$"} if self.plain else bounds


@dataclass(frozen=True)
class Parsed(Parameter[T]):
    """What ``parse`` makes of the text, which raises ValueError that says what it must be; ``shape`` is its schema."""

    parse: Callable[[str], T] = field(kw_only=True)
    shape: Mapping[str, Any] = field(kw_only=True)

    def read(self, given: str) -> T:
        try:
            return self.parse(given)
        except ValueError as fault:
            self.refuse(str(fault))

    @property
    def schema(self) -> dict[str, Any]:
        return dict(self.shape)


#: In a filter for the Control Plane, a NUL ends in a database error over there.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

LIMIT = Whole("limit", "How many at most.", low=1, high=MAX_PAGE)

_KNOWN: dict[Handler, tuple[Parameter[Any], ...]] = {}


def takes(*parameters: Parameter[Any]) -> Callable[[HandlerT], HandlerT]:
    """A decorator: the query parameters that a handler knows. One without it knows none."""

    def marked(handler: HandlerT) -> HandlerT:
        _KNOWN[handler] = parameters
        return handler

    return marked


def known_to(handler: Handler) -> Sequence[Parameter[Any]]:
    """The query parameters that it takes."""
    return _KNOWN.get(handler, ())


def strict(handler: Handler) -> Handler:
    """The handler, asked only with parameters that it knows, each once: a slip would run with a default."""
    known = frozenset(parameter.name for parameter in known_to(handler))

    async def checked(request: web.Request) -> web.StreamResponse:
        for name in request.query:
            if name not in known:
                listed = f"known here: {', '.join(sorted(known))}" if known else "none is known here"
                guess = f"did you mean {close!r}? " if (close := meant(name[:100], known)) else ""
                refuse(name[:100], f"is no query parameter of this route; {guess}{listed}")
            if len(request.query.getall(name)) > 1:
                refuse(name, "is given more than once")
        return await handler(request)

    return checked


def refuse(name: str, message: str) -> NoReturn:
    """Raises InvalidRequest; ``details`` names the parameter."""
    raise InvalidRequest(f"{name} {message}", details=[{"parameter": name, "message": message}])
