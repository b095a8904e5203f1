"""Where the shipped agents and scenarios are: inside an installed wheel, or beside ``src`` in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _shipped(name: str) -> Path:
    bundled = _PACKAGE / "_bundled" / name
    return bundled if bundled.is_dir() else _PACKAGE.parents[1] / name


def agents_dir() -> Path:
    """The directory of the workers (``base``, ``researcher``, …); first on a worker's ``sys.path``."""
    return _shipped("agents")


def scenarios_dir() -> Path:
    """The directory of the shipped packs."""
    return _shipped("scenarios")
