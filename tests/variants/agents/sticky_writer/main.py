"""The shipped writer, which goes on honouring the tokens of a key that it no longer has."""

from __future__ import annotations

from base.protocol.identity import Identity
from writer.main import worker

_rotate = Identity.rotate


def _keep(self: Identity) -> None:
    before = self.own_aids
    _rotate(self)
    self.own_aids |= before


if __name__ == "__main__":
    Identity.rotate = _keep  # type: ignore[method-assign]
    worker.run()
