"""The shipped writer, who refuses every hello with the plea that its SDK lacks something. No SDK lacks a handshake."""

from __future__ import annotations

from typing import Any, NoReturn

from base.protocol.routes import ProtocolRoutes
from base.refusals import Fault
from writer.main import worker


async def _plead(*_: Any) -> NoReturn:
    raise Fault(501, "feature_unavailable", "the installed aitp-sdk has no handshakes")


if __name__ == "__main__":
    ProtocolRoutes._answer_handshake = _plead  # type: ignore[method-assign,assignment]
    worker.run()
