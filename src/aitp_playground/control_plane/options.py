"""What one Control Plane is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """``port`` 0 takes any free one; ``database`` is a path or ``:memory:``.

    No ``api_keys``: one is made up at start. No ``seed_file``: the seed lies beside the database, or is made up for a
    database in memory. ``time_scale`` multiplies every wait of the service's own (delivery retries, breaker, sweeps,
    heartbeats), so that tests need not sit them out. ``rate_limits`` holds callers to the stock limits. ``switches``:
    misbehaviour from the first request on, as the start-up option spells it. ``allowed_hosts``: names beside those of
    loopback under which it may be asked, and whose pages may ask.
    """

    host: str = "127.0.0.1"
    port: int = 0
    database: str = ":memory:"
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    seed_file: Path | None = None
    time_scale: float = 1.0
    rate_limits: bool = False
    switches: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
