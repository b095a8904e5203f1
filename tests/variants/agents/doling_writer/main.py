"""The shipped writer, which does not remember what it gave for a delegation, and gives another token the next time."""

from __future__ import annotations

from base.protocol.redeemed import RedeemedBook
from writer.main import worker

if __name__ == "__main__":
    RedeemedBook.find = lambda *_: None  # type: ignore[method-assign]
    worker.run()
