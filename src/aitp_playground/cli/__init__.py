"""The command line ``aitp-playground``.

Commands are imported when they are called, one file each, so that ``--help`` and ``--version`` answer at once.
"""

from __future__ import annotations

import os
import sys

import click

from aitp_playground.cli.exits import CANCELLED, FAILED, exit_code_of, explain
from aitp_playground.cli.group import cli
from aitp_playground.cli.startup import begin
from aitp_playground.errors import PlaygroundError
from aitp_playground.hosting.signals import clean_signals

__all__ = ["main"]

_STDOUT, _STDERR = 1, 2


def main() -> None:
    """Entry point: do what the arguments say and exit with the command's code; see :mod:`aitp_playground.cli.exits`."""
    clean_signals()
    begin()
    if sys.stdout is None or sys.stderr is None:
        _give_missing_streams()
    sys.exit(_execute())


def _execute() -> int:
    try:
        outcome = cli.main(prog_name="aitp-playground", standalone_mode=False)
    except click.ClickException as refusal:
        refusal.show()
        return refusal.exit_code
    except (click.Abort, KeyboardInterrupt):
        return CANCELLED
    except PlaygroundError as failure:
        explain(failure)
        return exit_code_of(failure)
    except Exception as failure:  # noqa: BLE001 - whatever it is, its user gets a line and a code, not a traceback
        explain(failure)
        return FAILED
    return outcome if isinstance(outcome, int) else 0


def _give_missing_streams() -> None:
    """A caller may have closed descriptor 1 or 2: what is said there is for nobody, and no file may take its place."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or open(_STDOUT, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
    sys.stderr = sys.stderr or open(_STDERR, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
