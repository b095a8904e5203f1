"""What a check has to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """``said``: what is; ``advice``: what to do, for what is not as it should be."""

    check: str
    verdict: Verdict
    said: str
    advice: str = ""

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        told = {"check": self.check, "verdict": self.verdict, "said": self.said}
        return told | ({"advice": self.advice} if self.advice else {})


def ok(check: str, said: str) -> Finding:
    """As it should be."""
    return Finding(check, "ok", said)


def warning(check: str, said: str, advice: str) -> Finding:
    """It works, but not all of it."""
    return Finding(check, "warning", said, advice)


def error(check: str, said: str, advice: str) -> Finding:
    """It will not work like this."""
    return Finding(check, "error", said, advice)
