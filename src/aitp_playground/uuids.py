"""UUIDs in their hyphenated text form (RFC 9562, section 4)."""

from __future__ import annotations

import re

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-([0-9a-f])[0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)


def is_uuid(text: str, versions: str = "") -> bool:
    """Whether ``text`` is a UUID, in either case of letters.

    ``versions`` (such as ``"45"``) asks for one of these versions and for the RFC's variant; without it anything of the
    right shape is one.
    """
    match = _UUID.fullmatch(text)
    if match is None:
        return False
    return not versions or (match[1] in versions and match[2] in "89abAB")
