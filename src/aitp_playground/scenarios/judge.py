"""Work whose cost cannot be told beforehand, done by a process that can be ended
(:mod:`aitp_playground.scenarios.judging`).

It reads one JSON document from standard input and writes one to standard output::

    {"pattern": P, "text": T}          → {"matches": true | false}
    {"schema": S, "instance": I}       → {"errors": [{"at": pointer, "message": text}, …]}

The second answer is preceded by the line ``unfit`` as soon as it is known that there will be errors.
After :data:`CPU_SECONDS` of its own CPU time the kernel ends it, however busy the machine is.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from aitp_playground.errors import Overloaded

CPU_SECONDS = {"pattern": 0.2, "schema": 1.0}
MEMORY_BYTES = 512 * 1024 * 1024
#: Against a machine so busy that the process gets no CPU at all.
WALL_SECONDS = 30.0
UNFIT = b"unfit\n"


class NoVerdict(Exception):
    """The question was not answered in time; the text says what took too long."""


def ask(question: Mapping[str, Any]) -> Any:
    """The answer of a process of its own. Blocking: for a thread. Raises :class:`NoVerdict`, Overloaded."""
    kind = "pattern" if "pattern" in question else "schema"
    what = "the pattern was not matched" if kind == "pattern" else "the inputs were not validated"
    # Alone, with an environment that holds nothing of ours, and without the working directory among its modules.
    command = [sys.executable, "-P", "-m", "aitp_playground.scenarios.judging", kind]
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path), "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter
            command,
            input=json.dumps(question).encode(),
            capture_output=True,
            env=environment,
            timeout=WALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NoVerdict(f"{what} within {WALL_SECONDS:g} s") from None
    except OSError as problem:
        raise Overloaded(f"{what}: no process can be started for it ({problem.strerror})", retry_after=5) from problem
    if done.returncode != 0:
        if done.stdout.startswith(UNFIT):
            return {"errors": [{"at": "", "message": "they do not fit, and to say where would take too long"}]}
        raise NoVerdict(f"{what} {_why(done.returncode, kind)}")
    answer = json.loads(done.stdout.removeprefix(UNFIT))
    if "fault" in answer:
        raise NoVerdict(f"{what}: {answer['fault']}")
    return answer


def _why(code: int, kind: str) -> str:
    match -code:
        case signal.SIGVTALRM:
            return f"within {CPU_SECONDS[kind]:g} s of CPU"
        case signal.SIGABRT | signal.SIGKILL | signal.SIGSEGV:
            return f"within {MEMORY_BYTES // 1024**2} MiB of memory"
        case _:
            return f"because the process that was to do it ended with {code}"
