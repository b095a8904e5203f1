"""JSON values that nobody expects where they may stand all the same."""

from __future__ import annotations

from typing import Any

from aitp_playground.strict_json import MAX_DEPTH

LISTS: Any = "x"
OBJECTS: Any = "x"
for _ in range(MAX_DEPTH):
    LISTS, OBJECTS = [LISTS], {"jti": OBJECTS}
ODD: dict[str, Any] = {
    "null": None,
    "true": True,
    "zero": 0,
    "negative": -1.5,
    "whole": 2**63 - 1,
    "beyond": 10**400,
    "large": 1e308,
    "small": -1e308,
    "short": "x",
    "long": "x" * 50,
    "early": "0001-01-01T00:00:00+14:00",
    "late": "9999-12-31T23:59:59-14:00",
    "surrogate": "\ud800" * 10,
    "list": [],
    "object": {},
    "lists": [[5], [[]], {}],
    "key": {"jkt": "x" * 43},
    "keys": {"jkt": ["x" * 43]},
    "claims": {"iss": "aid:pubkey:x", "sub": "aid:pubkey:y", "jti": {"jkt": "z"}, "cnf": "text"},
    "unhashable": {"iss": "aid:pubkey:x", "sub": "aid:pubkey:y", "jti": [], "cnf": {"jkt": []}},
    "deep lists": LISTS,
    "deep objects": OBJECTS,
}
