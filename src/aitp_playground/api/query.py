"""Query parameters. Each route names its own; another one, one given twice, and a wrong value are 422."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import NoReturn, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler

from aitp_playground.errors import InvalidRequest
from aitp_playground.scenarios.findings import meant

#: Greatest ``seq`` that JSON numbers carry exactly everywhere.
MAX_SEQ = 2**53
MAX_PAGE = 1000
_DIGITS = re.compile(r"[0-9]{1,16}", re.ASCII)
HandlerT = TypeVar("HandlerT", bound=Handler)
_KNOWN: dict[Handler, frozenset[str]] = {}
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def takes(*names: str) -> Callable[[HandlerT], HandlerT]:
    """A decorator: the query parameters that a handler knows. One without it knows none."""

    def marked(handler: HandlerT) -> HandlerT:
        _KNOWN[handler] = frozenset(names)
        return handler

    return marked


def strict(handler: Handler) -> Handler:
    """The handler, asked only with parameters that it knows, each once: a slip would run with a default."""
    known = _KNOWN.get(handler, frozenset())

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


def number(request: web.Request, name: str, *, low: int, high: int) -> int | None:
    """A whole number between ``low`` and ``high``, None when absent."""
    given = request.query.get(name)
    if given is None:
        return None
    return whole(given, name, low=low, high=high)


def whole(given: str, name: str, *, low: int, high: int) -> int:
    """``given`` as a number in plain digits. Raises InvalidRequest naming the parameter."""
    if _DIGITS.fullmatch(given) is None or not low <= int(given) <= high:
        refuse(name, f"must be a whole number from {low} to {high}")
    return int(given)


def limit(request: web.Request) -> int | None:
    """The page size, None when absent."""
    return number(request, "limit", low=1, high=MAX_PAGE)


def flag(request: web.Request, name: str, *, default: bool) -> bool:
    """``true``, ``false``, ``1`` or ``0``."""
    given = request.query.get(name)
    if given is None:
        return default
    if given not in _FLAGS:
        refuse(name, "must be true or false")
    return _FLAGS[given]


def choice(request: web.Request, name: str, known: Collection[str]) -> str | None:
    """One of ``known``, None when absent."""
    given = request.query.get(name)
    if given is not None and given not in known:
        refuse(name, f"must be one of {', '.join(sorted(known))}")
    return given


def words(request: web.Request, name: str, *, longest: int = 512) -> str | None:
    """A bounded, non-empty string, None when absent."""
    given = request.query.get(name)
    if given is not None and not 0 < len(given) <= longest:
        refuse(name, f"must have 1 to {longest} characters")
    return given


def refuse(name: str, message: str) -> NoReturn:
    """Raises InvalidRequest; ``details`` names the parameter."""
    raise InvalidRequest(f"{name} {message}", details=[{"parameter": name, "message": message}])
