"""The shipped researcher, which gives another session bundle than it has signed."""

from __future__ import annotations

from typing import Any

from base.protocol.bundles import Coordinator
from researcher.main import worker

_give = Coordinator.give


def _altered(self: Coordinator, *args: Any) -> str:
    return _give(self, *args).replace('"participants":[', '"participants": [')


if __name__ == "__main__":
    Coordinator.give = _altered  # type: ignore[method-assign]
    worker.run()
