"""Exit codes, and the one line in which a failure is told.

======  ==================================================
0       success
1       the run failed, or files have faults
2       wrong usage, setting, ref or inputs
3       the run succeeded unproven, with ``--require-proof``
130     cancelled by a signal
141     nobody reads the output any more
======  ==================================================
"""

from __future__ import annotations

import os
import sys
import traceback

from aitp_playground.errors import ConfigurationError, InvalidRequest, NotFound, PlaygroundError, RegistryInvalid

SUCCESS = 0
FAILED = 1
WRONG = 2
UNPROVEN = 3
CANCELLED = 130
BROKEN_PIPE = 141

_CALLERS_FAULT = (ConfigurationError, InvalidRequest, NotFound, RegistryInvalid)
_LONGEST = 2000


def exit_code_of(failure: PlaygroundError) -> int:
    """``WRONG`` for what the caller can put right, else ``FAILED``."""
    return WRONG if isinstance(failure, _CALLERS_FAULT) else FAILED


def explain(failure: Exception) -> None:
    """Say on standard error what went wrong, in one line without secrets; a traceback only with ``LOG_LEVEL=DEBUG``."""
    # Imported here: most commands end without a failure.
    from aitp_playground.events.narration import plain
    from aitp_playground.observability.redaction import SECRETS

    if os.environ.get("LOG_LEVEL", "").upper() == "DEBUG":
        print(SECRETS.blot("".join(traceback.format_exception(failure))), end="", file=sys.stderr)
    print(f"Error: {plain(SECRETS.blot(_message(failure)), _LONGEST)}", file=sys.stderr)


def _message(failure: Exception) -> str:
    if isinstance(failure, PlaygroundError):
        return failure.message
    return f"{type(failure).__name__}: {failure} (LOG_LEVEL=DEBUG shows where)"
