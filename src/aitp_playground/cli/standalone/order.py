"""What ``agent`` was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Everybody whose manifest verifies may shake hands.
ANY_VERIFIED: Final = "any-verified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standalone:
    """``accept``: AIDs, or ANY_VERIFIED; ``port`` 0 is any free one."""

    manifest: str
    enroll: bool
    accept: tuple[str, ...]
    port: int
    namespace: str | None
