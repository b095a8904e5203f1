"""The shipped researcher, which enrols honestly and then registers another manifest than the one it enrolled with."""

from __future__ import annotations

from typing import Any

from base.protocol.enrolment import Enrolment
from researcher.main import worker

_post = Enrolment._post


async def _altered(self: Enrolment, stage: str, url: str, manifest: str, *rest: Any) -> dict[str, Any]:
    if stage == "register":
        manifest = manifest.replace("Research Analyst", "Research Emperor")
    return await _post(self, stage, url, manifest, *rest)


if __name__ == "__main__":
    Enrolment._post = _altered  # type: ignore[assignment, method-assign]
    worker.run()
