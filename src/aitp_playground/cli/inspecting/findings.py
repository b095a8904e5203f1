"""What is found out about a signed thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["good", "bad", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """``code`` is the registry's, of what is bad; ``said`` a sentence. ``notes`` are what a reader might overlook;
    ``inner`` what is signed inside it, by its name."""

    kind: str
    verdict: Verdict
    said: str
    code: str | None = None
    header: Mapping[str, Any] | None = None
    document: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    inner: Mapping[str, Inspected] | None = None

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        told: dict[str, Any] = {"kind": self.kind, "verdict": self.verdict, "code": self.code, "said": self.said}
        told |= {"header": self.header, "document": self.document, "notes": list(self.notes)}
        told["inner"] = {name: inner.told() for name, inner in (self.inner or {}).items()}
        return told
