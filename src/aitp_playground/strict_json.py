"""JSON that can only be read in one way: the reader of everything that users and agents hand in.

Refused, beside what is no JSON (RFC 8259): NaN and the infinities, a name that is repeated in an object (section 4:
what it means is anybody's guess), integers beyond 64 bits, numbers beyond a double, lone surrogates, and nesting deeper
than :data:`MAX_DEPTH` levels.
"""

from __future__ import annotations

import codecs
import json
from typing import Any, Final

import orjson

#: What is accepted is later wrapped in records that must be encodable too; orjson encodes 254 levels.
MAX_DEPTH: Final = 200
_HEADROOM: Final = 254 - MAX_DEPTH
_SHOWN: Final = 100


class NotExact(ValueError):
    """The text is no such JSON; the message says why and quotes no more than a name."""


class TooDeep(NotExact):
    """Nested deeper than :data:`MAX_DEPTH` levels."""


def loads(raw: bytes | str) -> Any:
    """The document. Raises :class:`NotExact`."""
    try:
        data = raw.encode() if isinstance(raw, str) else raw
    except UnicodeEncodeError:
        raise NotExact("it is not UTF-8 text") from None
    if data.startswith(codecs.BOM_UTF8):
        raise NotExact("it begins with a byte order mark, which JSON does not have (RFC 8259, section 8.1)")
    try:
        # The first refuses what only Python takes for JSON, the second sees every name and every digit.
        orjson.loads(data)
        document = json.loads(data, object_pairs_hook=_unique)
    except RecursionError:
        raise TooDeep(f"it is nested deeper than {MAX_DEPTH} levels") from None
    except UnicodeDecodeError:
        raise NotExact("it is not UTF-8 text") from None
    except NotExact:
        raise
    except ValueError as fault:
        raise NotExact(str(fault)) from None
    try:
        orjson.dumps(buried(document))
    except orjson.JSONEncodeError as fault:
        if deeper_than(document, MAX_DEPTH):
            raise TooDeep(f"it is nested deeper than {MAX_DEPTH} levels") from None
        raise NotExact(_lowered(str(fault))) from None
    return document


def buried(document: Any) -> Any:
    """The document as deep inside a stored record as it may come to lie."""
    for _ in range(_HEADROOM):
        document = [document]
    return document


def deeper_than(document: Any, levels: int) -> bool:
    """Whether lists and objects are nested deeper than so many levels in some JSON."""
    level = [document]
    for _ in range(levels):
        level = [
            part
            for item in level
            if isinstance(item, dict | list)
            for part in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return any(isinstance(item, dict | list) for item in level)


def is_text(value: str) -> bool:
    """Whether these characters can be stored and sent: no lone surrogates, which bytes that are no UTF-8 turn into."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_whole(value: Any) -> Any:
    """A number without a fraction is a whole number, however it is written: JSON has one kind (``3.0`` is ``3``)."""
    return int(value) if type(value) is float and value.is_integer() else value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise NotExact(f"the key {name[:_SHOWN]!r} is repeated")
        members[name] = value
    return members


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
