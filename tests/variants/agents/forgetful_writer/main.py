"""The shipped writer, which verifies every token anew: nothing is looked up."""

from __future__ import annotations

from base.protocol.verification import TokenCache
from writer.main import worker


def _forget(self: TokenCache, _token: str) -> None:
    self.store.clear()
    self._inside.clear()
    self.misses += 1


if __name__ == "__main__":
    TokenCache.look_up = _forget  # type: ignore[method-assign]
    worker.run()
