"""What standard output can show."""

from __future__ import annotations

import os
import shutil
import sys


def colourful() -> bool:
    """Whether it is a terminal that has colours, and its user wants them."""
    dumb = os.environ.get("TERM", "dumb") in {"dumb", "unknown", ""}
    return sys.stdout.isatty() and not dumb and not os.environ.get("NO_COLOR")


def columns(otherwise: int) -> int:
    """How wide the terminal is; ``otherwise`` for what is none."""
    return shutil.get_terminal_size((otherwise, 24)).columns if sys.stdout.isatty() else otherwise
