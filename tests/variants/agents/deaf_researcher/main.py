"""The shipped researcher, to whom no Control Plane can say anything: it never looks at the list, asked or by itself."""

from __future__ import annotations

from typing import Any

from base.protocol.revocation_refresh import Refresher
from researcher.main import worker


async def _look_away(*_: Any, **__: Any) -> dict[str, Any]:
    return {"revoked_count": 0, "sees_jti": False}


if __name__ == "__main__":
    Refresher.from_control_plane = _look_away  # type: ignore[method-assign]
    Refresher.start = lambda _: None  # type: ignore[method-assign]
    worker.run()
