"""UUIDs in their hyphenated text form (RFC 9562, section 4)."""

from __future__ import annotations

import re

#: In either case of letters; the groups are the version and the variant.
UUID_PATTERN = "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-([0-9A-Fa-f])[0-9A-Fa-f]{3}-([0-9A-Fa-f])[0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}"
_UUID = re.compile(UUID_PATTERN)


def is_uuid(text: str, versions: str = "") -> bool:
    """Whether ``text`` is a UUID, in either case of letters.

    ``versions`` (such as ``"45"``) asks for one of these versions and for the RFC's variant; without it anything of the
    right shape is one.
    """
    match = _UUID.fullmatch(text)
    if match is None:
        return False
    return not versions or (match[1] in versions and match[2] in "89abAB")
