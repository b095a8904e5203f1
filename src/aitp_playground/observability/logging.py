"""Logging of one process, configured once at its entry point.

Every line, of structlog and of stdlib loggers alike (aiohttp's), has ``event``, ``level``, ``timestamp`` (ISO 8601,
UTC) and the context variables of where it was written (``run_id``, ``agent_id``, ``step_id``). JSON, or a readable form
on a terminal. A run event is also a line, ``event`` being its type: see :meth:`Logs.event_line`. What Python itself
would say on standard error becomes a line too, so that a JSON log is nothing but JSON; ``docs/logging.md`` is its page.
"""

from __future__ import annotations

import atexit
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO, Any, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from aitp_playground.events.codec import decode, encode_json
from aitp_playground.events.narration import plain
from aitp_playground.events.tokens import without_tokens
from aitp_playground.events.vocabulary import TYPES, spec
from aitp_playground.observability.event_lines import EventLines, opening, shortened
from aitp_playground.observability.redaction import redact
from aitp_playground.observability.sink import MAX_PENDING_BYTES, LineSink
from aitp_playground.observability.strays import gather_strays
from aitp_playground.observability.trace_context import trace_id_of
from aitp_playground.store.port import StoredEvent

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Format = Literal["", "console", "json"]

_MAX_CONSOLE_VALUE = 2000
_MAX_EXCEPTION = 20_000


class Logs:
    """The configured logging: where lines go, and the fast way for run events."""

    def __init__(self, sink: LineSink, level: int, render: Processor | None) -> None:
        self._sink = sink
        self._level = level
        self._render = render
        # For each type that passes the level.
        self._openings = {name: opening(name) for name in TYPES if _level_of(name) >= level}
        self._lines = EventLines()
        self._restore_strays = gather_strays()

    def event_line(self, event: StoredEvent) -> None:
        """Log a run event at the level its type has. As JSON the body of a small one is spliced in, not encoded again.

        What is in the log of a run was kept free of secrets when it was recorded, but for delegation tokens, of which
        the digest is shown; these lines pass no other redaction.
        """
        start = self._openings.get(event.type)
        if start is None:
            if spec(event.type) is not None or self._level > logging.INFO:
                return
            start = opening(event.type)
        if self._render is None:
            self._sink.write(self._lines.line(start, event))
        else:
            self._sink.write(self._console(event, self._render))

    @property
    def lost(self) -> int:
        """Lines that were dropped so far, since nobody took them in time."""
        return self._sink.lost

    def flush(self, timeout: float = 2.0) -> bool:
        """Wait until what was logged so far is written; False when ``timeout`` seconds were too short."""
        return self._sink.flush(timeout)

    def close(self) -> None:
        """Write what waits and end the writer. Lines logged afterwards are lost. Safe to call often."""
        atexit.unregister(self.close)
        self._restore_strays()
        _unroute_stdlib(self._sink)
        self._sink.close()

    def _console(self, event: StoredEvent, render: Processor) -> bytes:
        recorded = decode(event.body)
        row = spec(event.type)
        entry: EventDict = {
            "event": event.type,
            "level": row.level if row else "info",
            "timestamp": self._lines.iso(event.ts).decode(),
            "run_id": recorded.run_id,
            "seq": event.seq,
        }
        if row is not None:
            entry["narration"] = without_tokens(row.narrate(recorded))
        return _line(render(None, "", _printable(None, "", entry)))


def configure(
    level: Level = "INFO",
    format: Format = "",  # noqa: A002 - the name of the setting
    stream: IO[Any] | None = None,
    *,
    max_pending: int = MAX_PENDING_BYTES,
) -> Logs:
    """Set up structlog and stdlib logging for this process; the last call wins.

    ``format``: "" is the console form on a terminal and JSON elsewhere. ``stream``: standard error by default; lines
    are written to it by a thread, at most ``max_pending`` bytes wait, and the rest is flushed at exit.
    """
    out = sys.stderr if stream is None else stream
    console = format == "console" or (not format and out.isatty())
    render = _console_renderer(out) if console else _render_json
    threshold = logging.getLevelNamesMapping()[level]
    shape: list[Processor] = [structlog.processors.format_exc_info, redact, _bounded]
    shape += [_printable, render] if console else [render]
    sink = LineSink(out, lambda count: _notice(count, render), max_pending, lasting=True)
    structlog.configure(
        processors=[*_ORIGIN, *shape],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: _SinkLogger(sink),
        cache_logger_on_first_use=False,
    )
    _route_stdlib(_SinkHandler(sink, shape), threshold)
    logs = Logs(sink, threshold, render if console else None)
    atexit.register(logs.close)
    return logs


def _with_trace(_logger: WrappedLogger, _method: str, entry: EventDict) -> EventDict:
    if isinstance(run_id := entry.get("run_id"), str):
        entry["trace_id"] = trace_id_of(run_id)
    return entry


_ORIGIN: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    _with_trace,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


class _SinkLogger:
    """What structlog calls with a rendered line; every level comes through the same door."""

    def __init__(self, sink: LineSink) -> None:
        self._sink = sink

    def msg(self, line: str | bytes) -> None:
        self._sink.write(_line(line))

    debug = info = warning = error = critical = exception = log = msg


class _SinkHandler(logging.Handler):
    """Records of stdlib loggers, in the same form and through the same sink."""

    def __init__(self, sink: LineSink, shape: list[Processor]) -> None:
        super().__init__()
        self.sink = sink
        foreign: list[Processor] = [*_ORIGIN, structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder()]
        self.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=foreign,
                processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shape[:-1], _text(shape[-1])],
            )
        )

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.sink.write(_line(self.format(record)))
        except Exception:  # noqa: BLE001 - a record that cannot be formatted must not break who logged it
            structlog.get_logger(__name__).exception("log.record_broken", logger=record.name, message=str(record.msg))


def _route_stdlib(handler: logging.Handler, threshold: int) -> None:
    _unroute_stdlib()
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(threshold)
    # asyncio's and aiohttp's debugging chatter would drown ours.
    for name in ("asyncio", "aiohttp", "urllib3"):
        logging.getLogger(name).setLevel(max(threshold, logging.INFO))


def _unroute_stdlib(sink: LineSink | None = None) -> None:
    """Take our handler off the root logger: any, or the one that writes to ``sink``."""
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _SinkHandler)]:
        if sink is None or handler.sink is sink:
            root.removeHandler(handler)


def _render_json(_logger: WrappedLogger, _method: str, entry: EventDict) -> bytes:
    head = {name: entry.pop(name) for name in ("event", "level", "timestamp") if name in entry}
    return encode_json({**head, **entry})


def _console_renderer(stream: IO[Any]) -> Processor:
    return structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=24)


def _bounded(_logger: WrappedLogger, _method: str, entry: EventDict) -> EventDict:
    """A line is to be read: of a long value it holds the beginning, of a traceback the end."""
    return {
        name: value[-_MAX_EXCEPTION:] if name == "exception" and isinstance(value, str) else shortened(value)
        for name, value in entry.items()
    }


def _printable(_logger: WrappedLogger, _method: str, entry: EventDict) -> EventDict:
    """No text of others may drive the terminal; only the lines of a traceback stay lines."""
    return {
        name: "\n".join(plain(line, _MAX_CONSOLE_VALUE) for line in value.splitlines())
        if name == "exception"
        else _harmless(value)
        for name, value in entry.items()
    }


def _harmless(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    return plain(value if isinstance(value, str) else repr(value), _MAX_CONSOLE_VALUE)


def _notice(count: int, render: Processor) -> bytes:
    now = datetime.fromtimestamp(time.time(), UTC).isoformat().replace("+00:00", "Z")
    entry = {"event": "log.lines_dropped", "level": "warning", "timestamp": now, "dropped": count}
    return _line(render(None, "", entry))


def _text(render: Processor) -> Callable[[WrappedLogger, str, EventDict], str]:
    def as_text(logger: WrappedLogger, method: str, entry: EventDict) -> str:
        return _line(render(logger, method, entry)).decode().removesuffix("\n")

    return as_text


def _line(rendered: Any) -> bytes:
    data = rendered if isinstance(rendered, bytes) else str(rendered).encode("utf-8", "backslashreplace")
    return data + b"\n"


def _level_of(event_type: str) -> int:
    row = spec(event_type)
    return logging.getLevelNamesMapping()[row.level.upper()] if row else logging.INFO
