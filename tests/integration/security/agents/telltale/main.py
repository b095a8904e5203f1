"""A shipped worker (``TELLTALE``) that copies every token it holds or issues to a file the test alone looks into."""

from __future__ import annotations

import importlib
import json
import os

from base.protocol.tokens import Shelf, Token

_add = Shelf.add


def _overheard(shelf: Shelf, token: Token, owner: str | None = None) -> list[Token]:
    with open(os.environ["TELLTALE_OUT"], "a", encoding="utf-8") as stream:  # noqa: PTH123
        stream.write(json.dumps([token.tct, token.voucher]) + "\n")
    return _add(shelf, token, owner)


if __name__ == "__main__":
    Shelf.add = _overheard  # type: ignore[method-assign]
    importlib.import_module(f"{os.environ['TELLTALE']}.main").worker.run()
