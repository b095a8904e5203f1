"""Revocation lists that a careful client must not believe."""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import uuid4

import aitp

from aitp_playground.control_plane.trust.identity import Identity


def forged(how: str, honest: str, identity: Identity) -> str:
    """The list falsified.

    ``tampered``: an entry more, under the old signature. ``foreign``: rightly signed, by another key. ``emptied``:
    rightly signed by this Control Plane, its entries forgotten. ``stale``: rightly signed, expired on arrival.
    """
    envelope: dict[str, Any] = json.loads(honest)
    entries: list[dict[str, Any]] = envelope["revocation_list"]["entries"]
    if how == "foreign":
        return aitp.AitpAgent.generate().sign_revocation_list(entries)
    if how == "emptied":
        return identity.sign_list([])
    if how == "stale":
        return identity.sign_list(entries, lifetime=-1)
    entries.append({"jti": str(uuid4()), "revoked_at": int(time.time()), "reason": "forged"})
    return json.dumps(envelope)
