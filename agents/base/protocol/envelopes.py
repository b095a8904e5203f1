"""The guard every inbound envelope passes before the SDK sees its content.

The SDK's handshake steps check proofs and tokens, and leave the envelope around them alone: a changed type, an old
timestamp, a copy sent twice, even a broken envelope signature pass. So signature, type, freshness and novelty are
checked here, first.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

import aitp

from base.http.wire import parse_object
from base.refusals import Fault, Refusal, malformed, sdk_code

#: Seconds a message may be old, or ahead.
FRESHNESS = 300
MAX_REMEMBERED = 10_000


def sender_of(raw: str) -> str:
    """The AID an envelope claims to come from, unverified. Raises 400."""
    sender = parse_object(raw).get("sender")
    aid = sender.get("agent_id") if isinstance(sender, dict) else None
    if not isinstance(aid, str):
        raise malformed("the envelope names no sender")
    return aid


class EnvelopeGuard:
    """Checks envelopes and remembers their ids for as long as a copy would still be fresh."""

    def __init__(self, *, max_remembered: int = MAX_REMEMBERED) -> None:
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._max_remembered = max_remembered

    def open(self, raw: str, sender: str, kind: str) -> dict[str, Any]:
        """The envelope, checked: signed by ``sender``, of type ``kind``, fresh, never seen before.

        Raises :class:`Refusal` (``handshake_refused``, ``stale``, ``replay``), or 400 for what is no envelope.
        """
        try:
            aitp.verify_envelope(raw, sender)
        except ValueError:
            raise malformed("the body is not an AITP envelope") from None
        except RuntimeError as error:
            raise Refusal("handshake_refused", "the envelope does not verify", sdk_code=sdk_code(error)) from error
        envelope = parse_object(raw)
        if envelope["message_type"] != kind:
            raise Refusal("handshake_refused", f"expected a message of type {kind}", sdk_code="UNEXPECTED_MESSAGE_TYPE")
        if abs(time.time() - envelope["timestamp"]) > FRESHNESS:
            raise Refusal("stale", f"the message is more than {FRESHNESS} seconds away from now")
        self._remember(sender, str(envelope["message_id"]))
        return envelope

    def _remember(self, sender: str, message_id: str) -> None:
        now = time.monotonic()
        while self._seen and next(iter(self._seen.values())) <= now:
            self._seen.popitem(last=False)
        key = (sender, message_id)
        if key in self._seen:
            raise Refusal("replay", "this message was received before")
        if len(self._seen) >= self._max_remembered:
            # Forgetting one that is still fresh would let its copy in.
            raise Fault(503, "overloaded", "too many messages in a short time; try again later")
        self._seen[key] = now + 2 * FRESHNESS
