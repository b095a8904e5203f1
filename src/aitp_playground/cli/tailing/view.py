"""How a tailed event looks: columns for people, one JSON object a line for programs."""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Mapping
from typing import Any, Final

import click

from aitp_playground.cli.terminal.columns import colourful, columns
from aitp_playground.events.codec import encode_json
from aitp_playground.events.model import RunEvent
from aitp_playground.events.narration import plain, value_text
from aitp_playground.events.selection import level_of
from aitp_playground.events.vocabulary import spec

_COLOURS: Final = ("cyan", "magenta", "blue", "green", "bright_cyan", "bright_magenta", "bright_blue", "bright_green")
_LEVELS: Final = {"warning": "yellow", "error": "red"}
#: Below this width whoever speaks is left out: which run it is cannot be told from anything else.
_NARROW = 60
_SPEAKER: Final = 14
_TYPE: Final = 20
_MOST_FIELDS: Final = 8


class View:
    """Lines for standard output. ``as_json``: the event as it is, or a notice that is no event, one object a line."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._colour = colourful()
        self._width = columns(160)

    def line(self, event: Mapping[str, Any], raw: bytes | None = None) -> bytes:
        """``raw``: the event's own bytes, where they are at hand."""
        if self._as_json:
            return (raw or encode_json(event)) + b"\n"
        text = self._notice(event) if str(event.get("type", "")).startswith("stream.") else self._columns(event)
        return f"{text}\n".encode(sys.stdout.encoding or "utf-8", "backslashreplace")

    def _columns(self, event: Mapping[str, Any]) -> str:
        event_type = plain(str(event.get("type", "")), 60)
        parts = [self._styled(_clock(event.get("ts")), dim=True)]
        parts.append(self._styled(plain(str(event.get("run_id", "")))[:8].ljust(8), dim=True))
        if self._width >= _NARROW:
            speaker = next((str(event[name]) for name in ("agent_id", "agent", "initiator") if event.get(name)), "")
            shown = plain(speaker, _SPEAKER)
            colour = _COLOURS[zlib.crc32(speaker.encode()) % len(_COLOURS)] if speaker else None
            parts.append(self._styled(shown.ljust(_SPEAKER), fg=colour))
        colour = _LEVELS.get(str(event.get("level") or level_of(event_type)))
        parts.append(self._styled(f"{event_type.ljust(_TYPE)}  {_sentence(event)}", fg=colour))
        return "  ".join(parts)

    def _notice(self, event: Mapping[str, Any]) -> str:
        if event.get("type") == "stream.gap":
            runs = event.get("runs")
            names = ", ".join(plain(str(run), 40) for run in runs) if isinstance(runs, list) else ""
            others = (" and others" if names else "nobody knows any more which") if event.get("more") else ""
            return self._styled(f"-- events of runs that were removed are missing here: {names}{others}", fg="yellow")
        return self._styled("-- this is another history than before: it begins at its start", fg="yellow")

    def _styled(self, text: str, **how: Any) -> str:
        return click.style(text, **how) if self._colour and any(how.values()) else text


def _clock(ts: Any) -> str:
    if not isinstance(ts, int | float) or not 0 <= ts < 4e9:
        return "            "
    whole = int(ts)
    return time.strftime("%H:%M:%S", time.localtime(whole)) + f".{int((ts - whole) * 1000):03d}"


def _sentence(event: Mapping[str, Any]) -> str:
    row = spec(str(event.get("type")))
    if row is not None and {"seq", "id", "ts", "run_id"} <= event.keys():
        return row.narrate(RunEvent.from_dict(event))
    rest = {name: value for name, value in event.items() if name not in {"type", "ts", "level", "run_id", "seq", "id"}}
    pairs = [f"{plain(name, 40)}={value_text(name, value)}" for name, value in list(rest.items())[:_MOST_FIELDS]]
    return plain(" ".join(pairs))
