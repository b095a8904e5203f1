"""The shipped writer with its door left open: whoever calls is served. What the trust gate demonstrates must notice."""

from __future__ import annotations

from typing import Any

from base.protocol.verification import Caller, Verifier
from writer.main import worker


def _let_in(*_: Any, **__: Any) -> Caller:
    return Caller(aid="aid:pubkey:nobody", jti="none")


if __name__ == "__main__":
    Verifier.authorize = _let_in  # type: ignore[method-assign]
    Verifier.confirm = lambda *_: None  # type: ignore[method-assign]
    worker.run()
