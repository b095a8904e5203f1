"""The shipped researcher, which grants everything that it offers, whatever it was asked for."""

from __future__ import annotations

import json
from dataclasses import replace

from base.protocol.envelopes import Envelope
from base.protocol.responding import Responder
from researcher.main import worker

_answer = Responder._answer_hello


async def _generously(self: Responder, envelope: Envelope) -> tuple[str, str]:
    """The SDK grants what the hello asks for, and leaves its signature to others."""
    hello = json.loads(envelope.raw)
    hello["payload"]["requested_grants"] = self._shared.identity.offered
    return await _answer(self, replace(envelope, raw=json.dumps(hello)))


if __name__ == "__main__":
    Responder._answer_hello = _generously  # type: ignore[method-assign]
    worker.run()
