"""A new key for a running agent: with the key goes everything that hung on it."""

from __future__ import annotations

from typing import Any

from base.protocol.bundles import Coordinator
from base.protocol.redemption import Redemptions
from base.protocol.responding import Responder
from base.protocol.shared import Shared
from base.protocol.verification import Verifier
from base.refusals import Fault


class Rotation:
    """RFC-AITP-0003, section 8.1: the AID *is* the key, so an agent with a new one is a new agent to everybody."""

    def __init__(
        self,
        shared: Shared,
        verifier: Verifier,
        responder: Responder,
        redemptions: Redemptions,
        coordinator: Coordinator,
        *,
        keeps_its_key: bool,
    ) -> None:
        self._shared = shared
        self._verifier = verifier
        self._responder = responder
        self._redemptions = redemptions
        self._coordinator = coordinator
        self._keeps_its_key = keeps_its_key

    def rotate(self) -> dict[str, Any]:
        """Sign with a new key from now on, made here and known to nobody else: ``{"old_aid", "new_aid"}``.

        No token issued under the old key is honoured any more, none received for it is kept; open handshakes,
        challenges, bundles and cached verifications are dropped. What was revoked stays revoked. Raises 409
        ``key_is_kept`` for an agent that has a record under its key.
        """
        if self._keeps_its_key:
            raise Fault(409, "key_is_kept", "this agent keeps a record under its key, and so the key")
        old = self._shared.identity.aid
        self._shared.identity.rotate()
        self._shared.tokens.clear()
        self._shared.redeemed.clear()
        self._verifier.forget()
        self._responder.forget()
        self._redemptions.forget()
        self._coordinator.forget()
        return {"old_aid": old, "new_aid": self._shared.identity.aid}
