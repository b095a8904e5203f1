"""The two ways into a mailbox."""

from __future__ import annotations

from enum import Enum


class Lane(Enum):
    """Where a message waits. A message class says so with ``lane: ClassVar[Lane]``; without one it is control."""

    CONTROL = "control"
    DATA = "data"
