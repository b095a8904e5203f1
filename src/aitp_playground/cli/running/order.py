"""What ``run`` was asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The arguments of one run; ``pairs`` and ``document`` are its inputs as given."""

    ref: str
    pairs: tuple[str, ...]
    document: bytes | str | None
    template: str | None
    label: str | None
    as_json: bool
    require_proof: bool
    with_control_plane: bool = False
    #: It is one of several, each of which is a line of JSON.
    as_line: bool = False
    #: Its document is wanted when all runs are over.
    kept: bool = False
