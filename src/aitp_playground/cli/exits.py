"""Exit codes, and the one line in which a failure is told. ``docs/cli.md`` shows them to users.

======  ==================================================
0       success
1       the run failed, files have faults, or runs differ
2       wrong usage, setting, ref or inputs
3       the run succeeded unproven, with ``--require-proof``
74      standard output could not be written (a full disk)
130     cancelled by a signal
141     nobody reads the output any more
======  ==================================================
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
import time
import traceback

from aitp_playground.errors import ConfigurationError, InvalidRequest, NotFound, PlaygroundError, RegistryInvalid

SUCCESS = 0
FAILED = 1
WRONG = 2
UNPROVEN = 3
#: EX_IOERR of sysexits.h.
OUTPUT_LOST = 74
CANCELLED = 130
BROKEN_PIPE = 141

_CALLERS_FAULT = (ConfigurationError, InvalidRequest, NotFound, RegistryInvalid)
_LONGEST = 2000
#: Whoever reads standard error gets this long to take the last words.
_LAST_WORDS_SECONDS = 2.0
_known_form: list[str] = []


class OutputLost(PlaygroundError):
    """Standard output cannot be written."""


def exit_code_of(failure: PlaygroundError) -> int:
    """``WRONG`` for what the caller can put right, ``OUTPUT_LOST``, else ``FAILED``."""
    if isinstance(failure, OutputLost):
        return OUTPUT_LOST
    return WRONG if isinstance(failure, _CALLERS_FAULT) else FAILED


def explain(failure: Exception, *, logged: bool = False) -> None:
    """Say on standard error what went wrong, in one line without secrets; a traceback only with ``LOG_LEVEL=DEBUG``.

    ``logged``: the command keeps a log there; where that is JSON, so is this line (``event`` command.failed).
    """
    # Imported here: most commands end without a failure.
    from aitp_playground.events.narration import plain
    from aitp_playground.observability.redaction import SECRETS

    trace = ""
    if os.environ.get("LOG_LEVEL", "").upper() == "DEBUG":
        trace = SECRETS.blot("".join(traceback.format_exception(failure)))
    message = plain(SECRETS.blot(_message(failure)), _LONGEST)
    if logged and logs_json():
        _last_words(_json_line(message, trace))
    else:
        _last_words(f"{trace}Error: {message}\n")


def note_log_format(form: str) -> None:
    """Take over LOG_FORMAT as the settings have it, which may come from ``.env``."""
    _known_form.append(form)


def logs_json() -> bool:
    """Whether a log on standard error is JSON; before there are settings, as far as the environment says."""
    form = _known_form[-1] if _known_form else os.environ.get("LOG_FORMAT", "")
    return form == "json" or (form != "console" and not sys.stderr.isatty())


def _json_line(message: str, trace: str) -> str:
    import json

    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    entry = {"event": "command.failed", "level": "error", "timestamp": now, "error": message}
    return json.dumps(entry | ({"exception": trace} if trace else {})) + "\n"


def _last_words(text: str) -> None:
    """A pipe that is full and not read must not keep us from ending, nor one that fails."""
    try:
        sys.stderr.flush()
        descriptor = sys.stderr.fileno()
    except (AttributeError, ValueError, io.UnsupportedOperation):
        sys.stderr.write(text)
        return
    except OSError:
        return
    data = text.encode(sys.stderr.encoding or "utf-8", "backslashreplace")
    # The descriptor itself: a thread that stays behind must not hold the stream's lock when the interpreter ends.
    writer = threading.Thread(target=_write, args=(descriptor, data), name="last-words", daemon=True)
    writer.start()
    writer.join(_LAST_WORDS_SECONDS)


def _write(descriptor: int, data: bytes) -> None:
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(descriptor, data) :]


def _message(failure: Exception) -> str:
    if isinstance(failure, PlaygroundError):
        return failure.message
    return f"{type(failure).__name__}: {failure} (LOG_LEVEL=DEBUG shows where)"
