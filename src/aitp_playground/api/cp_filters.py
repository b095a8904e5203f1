"""What the Control Plane may be asked for through our door.

A filter that it would misread, and then ignore, is refused here and not sent on.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from aitp_playground.api import query
from aitp_playground.uuids import UUID_PATTERN, is_uuid

#: Rows of a list when the caller does not say; the Control Plane's own default differs from route to route.
PAGE: Final = 100
DEFAULT_WINDOW: Final = "24h"
WINDOWS: Final = ("1h", DEFAULT_WINDOW, "7d", "30d")
SESSION_STATUSES: Final = ("started", "complete", "failed")

#: Widths of the Control Plane's columns, in characters: nothing longer can match.
_LONGEST_NAME: Final = 128
_LONGEST_SESSION: Final = 255
_SECONDS: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)


def _uuid(given: str) -> str:
    """In lower case, as rows show it."""
    if not is_uuid(given):
        raise ValueError("must be a UUID in its hyphenated form")
    return given.lower()


def _moment(given: str) -> str:
    """Unix seconds, or date text as rows show it; UTC where no zone is given.

    The Control Plane gets ISO 8601 with ``Z`` and milliseconds: it refuses numbers and assumes a zone of its own.
    """
    try:
        if _SECONDS.fullmatch(given):
            moment = datetime.fromtimestamp(float(given), UTC)
        else:
            read = datetime.fromisoformat(given)
            moment = (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError("must be Unix seconds or an ISO 8601 date; write the + of an offset as %2B") from None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _name(name: str, about: str, longest: int = query.LONGEST) -> query.Words:
    return query.Words(name, about, longest=longest, plain=True)


def _id(name: str, about: str) -> query.Parsed[str]:
    return query.Parsed(name, about, parse=_uuid, shape={"type": "string", "pattern": f"^{UUID_PATTERN}$"})


def _time(name: str, about: str) -> query.Parsed[str]:
    shape = {"anyOf": [{"type": "string", "pattern": _SECONDS_SHOWN}, {"type": "string", "format": "date-time"}]}
    return query.Parsed(name, f"{about} Unix seconds or ISO 8601.", parse=_moment, shape=shape)


#: Seconds up to the year 5138, all of which a calendar has.
_SECONDS_SHOWN: Final = r"^[0-9]{1,11}(\.[0-9]{1,9})?$"
LIMIT = query.Whole("limit", "How many at most.", default=PAGE, low=1, high=query.MAX_PAGE)
ACTIVE = query.Flag("active", "Leave out revoked and expired ones.", default=False)
TYPE = _name("type", "Only events of this type.", _LONGEST_NAME)
STATUS = query.Choice("status", "Only sessions of this status.", known=SESSION_STATUSES)
ISSUER = _name("issuer", "Only those that this AID issued.")
SUBJECT = _name("subject", "Only those that were issued to this AID.")
AUDIENCE = _name("audience", "Only those for this AID.")
CAPABILITY = _name("capability", "Only those that grant it.")
SESSION = _name("session_id", "Only those that were issued in this session.", _LONGEST_SESSION)
ROOT = _id("root_jti", "Only this delegation and all below it.")
PARENT = _id("parent_jti", "Only those that were made from this token or delegation.")
DELEGATOR = _name("delegator", "Only those by this AID.")
DELEGATEE = _name("delegatee", "Only those to this AID.")
SINCE = _time("since", "Only events from then on.")
UNTIL = _time("until", "Only events until then.")
NAMESPACE = _name("namespace", "Only those of this namespace.", _LONGEST_NAME)
WINDOW = query.Choice("window", "How far back.", default=DEFAULT_WINDOW, known=WINDOWS)
#: In the path, and checked as a parameter of the query would be.
SID = _name("sid", "The id of a session.", _LONGEST_SESSION)
