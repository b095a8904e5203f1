"""The shipped writer, which verifies every token anew: nothing is looked up."""

from __future__ import annotations

from typing import Any

from base.protocol.token_cache import TokenCache, VerifiedTokens
from writer.main import worker

_verify = TokenCache.verify


def _forget(self: TokenCache, *args: Any) -> Any:
    self._inside.clear()
    self._verified = VerifiedTokens()
    return _verify(self, *args)


if __name__ == "__main__":
    TokenCache.verify = _forget  # type: ignore[method-assign]
    worker.run()
