"""The shipped writer, whose renewed tokens live ten minutes longer than was asked for."""

from __future__ import annotations

from typing import Any

from base.protocol.renewal import Renewals
from base.protocol.tokens import Token
from writer.main import worker

_mint = Renewals._mint


def _longer(self: Renewals, request: dict[str, Any], token: str, ttl: int, *rest: Any) -> Token:
    return _mint(self, request, token, ttl + 600, *rest)


if __name__ == "__main__":
    Renewals._mint = _longer  # type: ignore[method-assign]
    worker.run()
