"""What Python itself says on standard error (warnings, failures of threads and destructors), as lines of the log."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import structlog


def gather_strays() -> Callable[[], None]:
    """Have them logged from now on; call the result to have them said as before."""
    log = structlog.get_logger(__name__)
    before = threading.excepthook, sys.unraisablehook, sys.excepthook

    def of_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not SystemExit:
            name = args.thread.name if args.thread is not None else None
            log.error("thread.failed", thread=name, exc_info=_info(args.exc_type, args.exc_value, args.exc_traceback))

    def unraisable(args: sys.UnraisableHookArgs) -> None:
        what = args.err_msg or "exception ignored"
        info = _info(args.exc_type, args.exc_value, args.exc_traceback)
        log.error("exception.ignored", where=f"{what}: {_name(args.object)}", exc_info=info)

    def uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        log.error("exception.uncaught", exc_info=(kind, error, trace))

    logging.captureWarnings(capture=True)
    threading.excepthook, sys.unraisablehook, sys.excepthook = of_thread, unraisable, uncaught

    def restore() -> None:
        logging.captureWarnings(capture=False)
        # Somebody who came after us keeps what is theirs.
        if threading.excepthook is of_thread:
            threading.excepthook = before[0]
        if sys.unraisablehook is unraisable:
            sys.unraisablehook = before[1]
        if sys.excepthook is uncaught:
            sys.excepthook = before[2]

    return restore


def _info(kind: type[BaseException], error: BaseException | None, trace: Any) -> Any:
    return (kind, error if error is not None else kind(), trace)


def _name(thing: object) -> str:
    """Where it happened, without what the thing holds."""
    return getattr(thing, "__qualname__", None) or type(thing).__qualname__
