"""The command line ``aitp-playground``.

Commands are imported when they are called, one file each, so that ``--help`` and ``--version`` answer at once.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import signal
import sys
from typing import TextIO

import click

from aitp_playground.cli.exits import BROKEN_PIPE, CANCELLED, FAILED, OutputLost, exit_code_of, explain, logs_json
from aitp_playground.cli.group import LOGGED, cli
from aitp_playground.cli.process.startup import begin
from aitp_playground.errors import InvalidRequest, PlaygroundError
from aitp_playground.hosting.signals import clean_signals

__all__ = ["main"]

_STDOUT, _STDERR = 1, 2


def main() -> None:
    """Entry point: do what the arguments say and exit with the command's code; see :mod:`aitp_playground.cli.exits`."""
    clean_signals()
    begin()
    if None in (sys.stdin, sys.stdout, sys.stderr):
        _give_missing_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A character that the terminal has no code for is shown as an escape.
            stream.reconfigure(errors="backslashreplace")
    if "_AITP_PLAYGROUND_COMPLETE" in os.environ:
        from aitp_playground.cli.bash_completion import register

        register()
    code = _execute()
    _end_quietly(code)
    _let_go(sys.stdout)
    _let_go(sys.stderr)
    sys.exit(code)


def _execute() -> int:
    stdout = sys.stdout
    logged = next((word for word in sys.argv[1:] if not word.startswith("-")), "") in LOGGED
    try:
        outcome = cli.main(prog_name="aitp-playground", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as refusal:
        if logged and logs_json():
            explain(InvalidRequest(refusal.format_message()), logged=True)
        else:
            with contextlib.suppress(OSError):
                refusal.show()
        return refusal.exit_code
    except SystemExit as end:
        # click wraps the streams when a reader is gone, and exits.
        if sys.stdout is not stdout:
            return BROKEN_PIPE
        return end.code if isinstance(end.code, int) else FAILED
    except (click.Abort, KeyboardInterrupt):
        explain(PlaygroundError("cancelled"), logged=logged)
        return CANCELLED
    except PlaygroundError as failure:
        explain(failure, logged=logged)
        return exit_code_of(failure)
    except BrokenPipeError:
        return BROKEN_PIPE
    except OSError as failure:
        lost = _output_lost()
        explain(lost or failure, logged=logged)
        return exit_code_of(lost) if lost else FAILED
    except Exception as failure:  # noqa: BLE001 - whatever it is, its user gets a line and a code, not a traceback
        explain(failure, logged=logged)
        return FAILED
    return outcome if isinstance(outcome, int) else 0


def _output_lost() -> OutputLost | None:
    """What could not be written to standard output is still in its buffer, and fails again."""
    try:
        sys.stdout.flush()
    except OSError as failure:
        return OutputLost(f"standard output cannot be written: {failure.strerror}")
    return None


def _end_quietly(code: int) -> None:
    """All is done but the end of the interpreter: one more Ctrl-C ends it at once, with ``code`` and without a word.

    Once no thread is waited for any more it is ignored: from there on it would end the process with another code.
    """
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: os._exit(code))
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def _let_go(stream: TextIO) -> None:
    """What cannot be written now would fail once more, and change the exit code, when the interpreter ends."""
    try:
        stream.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _give_missing_streams() -> None:
    """A caller may have closed descriptor 0, 1 or 2: what is said there is for nobody, and no file may take its place.

    ``sys.stdin`` stays None: who is asked to read from it says that it is closed.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or open(_STDOUT, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
    sys.stderr = sys.stderr or open(_STDERR, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
