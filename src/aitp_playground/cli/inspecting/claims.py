"""The claims of each kind of token: which ones it has, and what their values have to be."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import aitp

TCT: Final = "aitp-tct+jwt"
VOUCHER: Final = "aitp-grant+jwt"
DELEGATION: Final = "aitp-delegation+jwt"

#: Type → the claims that it must have, and may have. The voucher of a delegation is looked at with what is in it.
CLAIMS: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = {
    TCT: (frozenset({"ver", "iss", "sub", "aud", "iat", "exp", "jti", "grants", "cnf"}), frozenset({"ext"})),
    VOUCHER: (frozenset({"ver", "iss", "sub", "iat", "exp", "grants", "src_jti"}), frozenset({"ext"})),
    DELEGATION: (frozenset({"ver", "iss", "sub", "aud", "exp", "scope", "cnf"}), frozenset({"ext", "voucher"})),
}
#: Members of a chain of delegations (RFC-AITP-0011, a draft), of which a single one has none.
OF_CHAINS: Final = frozenset({"chain", "chain_hash", "jti"})
#: RFC-AITP-0005, section 2.2: a version 4 UUID in lower case.
_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def wrong_claims(kind: str, claims: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each claim that is missing or is not what it has to be; for an unknown ``kind`` KeyError."""
    must, may = CLAIMS[kind]
    if missing := sorted(must - claims.keys()):
        yield f"it lacks {', '.join(missing)}"
    for name in sorted((must | may) & claims.keys()):
        wanted, fits = _FORMS[name]
        if not fits(claims[name]):
            yield f"its {name} is not {wanted}"


def is_aid(value: object) -> bool:
    """Whether this is the AID of a key."""
    try:
        return isinstance(value, str) and bool(aitp.compute_aid_jkt(value))
    except (ValueError, RuntimeError):
        return False


def is_whole(value: object) -> bool:
    """Whether this is a whole number, as times are; ``true`` is none."""
    return type(value) is int


def is_text(value: object) -> bool:
    """Whether this is text."""
    return isinstance(value, str)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _are_grants(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(is_text, value))


_AID: Final = ("an AID", is_aid)
_TIME: Final = ("a time in whole seconds", is_whole)
_UUID: Final = ("a version 4 UUID in lower case", _is_id)
_GRANTS: Final = ("a list of texts with at least one in it", _are_grants)
_FORMS: Final[Mapping[str, tuple[str, Callable[[object], bool]]]] = {
    "ver": ("text", is_text),
    "iss": _AID,
    "sub": _AID,
    "aud": _AID,
    "iat": _TIME,
    "exp": _TIME,
    "jti": _UUID,
    "src_jti": _UUID,
    "grants": _GRANTS,
    "scope": _GRANTS,
    "cnf": ("an object", _is_object),
    "voucher": ("text", is_text),
    "ext": ("an object", _is_object),
}
