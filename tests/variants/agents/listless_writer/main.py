"""The shipped writer, whose revocation list cannot be had where its manifest says it is."""

from __future__ import annotations

from typing import Any, NoReturn

from base.protocol.routes import ProtocolRoutes
from base.refusals import Fault
from writer.main import worker


async def _unavailable(*_: Any) -> NoReturn:
    raise Fault(503, "overloaded", "no list today")


if __name__ == "__main__":
    ProtocolRoutes._revocation_list = _unavailable  # type: ignore[method-assign,assignment]
    worker.run()
