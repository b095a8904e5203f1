"""The process that answers one question of :mod:`aitp_playground.scenarios.judge` and ends."""

from __future__ import annotations

import json
import re
import resource
import signal
import sys
from collections.abc import Mapping
from typing import Any

from aitp_playground.scenarios.judge import CPU_SECONDS, MEMORY_BYTES, UNFIT
from aitp_playground.scenarios.patterns import linear_search
from aitp_playground.scenarios.schemas import evaluate, validator


def _matches(question: Mapping[str, Any]) -> dict[str, Any]:
    pattern, text = question["pattern"], question["text"]
    matches = linear_search(pattern, text)
    return {"matches": re.search(pattern, text) is not None if matches is None else matches}


def _errors(question: Mapping[str, Any]) -> dict[str, Any]:
    schema, instance = question["schema"], question["instance"]
    if validator(schema, backtracking=True).is_valid(instance):
        return {"errors": []}
    # Said first: where it does not fit may take too long to find out.
    sys.stdout.write(UNFIT.decode())
    sys.stdout.flush()
    return {"errors": evaluate(schema, instance, backtracking=True)}


def main(kind: str) -> None:
    """Answer the one question on standard input."""
    question = json.load(sys.stdin)
    work = _matches if kind == "pattern" else _errors
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    # The default action ends the process, also in the middle of native code, unless who started it blocked the signal.
    signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS[kind])
    try:
        answer = work(question)
    except ValueError as problem:
        answer = {"fault": str(problem)[:500]}
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
