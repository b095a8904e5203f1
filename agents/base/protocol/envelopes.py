"""The door that every envelope of another agent passes before the SDK sees what is in it.

The SDK's handshake steps check proofs and tokens, and leave the envelope around them alone: a changed type, an old
timestamp, a copy sent twice, even a broken envelope signature pass. All of that is checked here: too many, seen before,
too old, of the wrong type, not signed by its sender. (RFC-AITP-0009, section 3.1, looks at the id first; here what is
too much costs as little as it can.) An id is *remembered* only once the signature held, so a forgery cannot use up the
id of the message it was made from.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import aitp

from base.aids import canonical
from base.http.bodies import structure
from base.http.wire import parse_object
from base.protocol.budgets import PER_PEER, STRANGERS, Clock, PeerBudgets, Strangers
from base.protocol.peers import PeerBook
from base.refusals import Fault, Flooded, Refusal, malformed, sdk_code

#: Seconds a message may be old, or ahead.
FRESHNESS: Final = 300
#: Beyond, numbers in JSON are not what they seem.
_LARGEST: Final = 1 << 53
#: Members, elements and what else a comma stands beside or a bracket before in one message: each costs time before its
#: signature is known to be good. A manifest of 400 capabilities has a quarter of it.
MAX_PARTS: Final = 2_000
#: Ids remembered for one sender. Its budget lets no more through in the time in which a copy would be fresh.
MAX_REMEMBERED: Final = PER_PEER * 2 * FRESHNESS


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message, parsed. ``sender`` is the AID as it stands there, ``key`` its one spelling."""

    raw: str
    message: dict[str, Any]
    sender: str
    key: str

    @property
    def kind(self) -> str:
        """``message_type``."""
        return str(self.message["message_type"])

    @property
    def payload(self) -> dict[str, Any]:
        """What is in it; the SDK says whether it is what it should be."""
        payload = self.message.get("payload")
        return payload if isinstance(payload, dict) else {}


def read_envelope(raw: str) -> Envelope:
    """Parse an envelope, unverified. Raises 400 for what is none."""
    if structure(raw) > MAX_PARTS:
        raise malformed(f"the message has more than {MAX_PARTS} parts")
    message = parse_object(raw)
    sender = message.get("sender")
    aid = sender.get("agent_id") if isinstance(sender, dict) else None
    if not isinstance(aid, str):
        raise malformed("the envelope names no sender")
    if not isinstance(message.get("message_type"), str) or not isinstance(message.get("message_id"), str):
        raise malformed("the envelope has no message_type or no message_id")
    if type(message.get("timestamp")) is not int or not 0 <= message["timestamp"] < _LARGEST:
        raise malformed("the envelope's timestamp is not a number of seconds")
    return Envelope(raw, message, aid, canonical(aid))


class SeenIds:
    """The ids of one sender's messages, each for as long as a copy of it would still be fresh."""

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._limit = limit
        self._until: OrderedDict[tuple[str, str], float] = OrderedDict()

    def __contains__(self, message: tuple[str, str]) -> bool:
        self._forget()
        return message in self._until

    def __len__(self) -> int:
        self._forget()
        return len(self._until)

    def _forget(self) -> None:
        now = time.monotonic()
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)

    def add(self, message: tuple[str, str]) -> None:
        """Raises :class:`Flooded` at the bound: to forget an id that is still fresh would be to let its copy in."""
        if len(self._until) >= self._limit:
            raise Flooded(next(iter(self._until.values())) - time.monotonic())
        self._until[message] = time.monotonic() + 2 * FRESHNESS


class EnvelopeGuard:
    """Checks envelopes and remembers their ids, of each introduced peer apart, of all strangers together."""

    def __init__(self) -> None:
        self._seen: dict[str, SeenIds] = {}

    def check(self, envelope: Envelope, kinds: frozenset[str], owner: str) -> None:
        """Whether it is new, fresh, of one of these types and signed by its sender; then its id is remembered.

        ``owner`` says in whose memory. Raises :class:`Refusal` (``replay``, ``stale``, ``handshake_refused``), or 400
        for what is no envelope.
        """
        if owner not in self._seen:
            self._seen = {name: ids for name, ids in self._seen.items() if ids}
        seen = self._seen.setdefault(owner, SeenIds())
        message_id = (envelope.key, str(envelope.message["message_id"]).lower())
        # Its sender may have been a stranger then and not now, or the other way round.
        if any(message_id in self._seen.get(memory, ()) for memory in (owner, envelope.key, STRANGERS)):
            raise Refusal("replay", "this message was received before")
        if abs(time.time() - envelope.message["timestamp"]) > FRESHNESS:
            raise Refusal("stale", f"the message is more than {FRESHNESS} seconds away from now")
        if envelope.kind not in kinds:
            message = f"expected a message of type {' or '.join(sorted(kinds))}"
            raise Refusal("handshake_refused", message, sdk_code="UNEXPECTED_MESSAGE_TYPE")
        verify_signature(envelope)
        seen.add(message_id)


def verify_signature(envelope: Envelope) -> None:
    """Whether its sender signed it. Raises ``handshake_refused``, or 400."""
    try:
        aitp.verify_envelope(envelope.raw, envelope.sender)
    except ValueError:
        raise malformed("the body is not an AITP envelope") from None
    except RuntimeError as error:
        raise Refusal("handshake_refused", "the envelope does not verify", sdk_code=sdk_code(error)) from error


class Door:
    """What other agents send here comes in through one of these, and has its sender's budget charged."""

    def __init__(self, peers: PeerBook, clock: Clock = time.monotonic) -> None:
        self._peers = peers
        self._guard = EnvelopeGuard()
        self._budgets = PeerBudgets(clock=clock)
        self._strangers = Strangers(clock=clock)

    def let_in(self, envelope: Envelope, kinds: frozenset[str], *, expected: bool = False) -> None:
        """Check an envelope against its sender's budget and as :class:`EnvelopeGuard` does.

        ``expected``: a stranger's message that answers one of ours, which its first one has paid for. Raises
        :class:`Flooded` too.
        """
        if self._peers.introduced(envelope.key):
            self._let_in_introduced(envelope, kinds)
            return
        if not expected:
            self._strangers.charge(envelope.key)
        self._guard.check(envelope, kinds, STRANGERS)

    def turn_away(self, envelope: Envelope) -> None:
        """Charge to the strangers a message that shows nothing, whoever signed it. Raises :class:`Flooded`."""
        self._strangers.charge(envelope.key)

    def _let_in_introduced(self, envelope: Envelope, kinds: frozenset[str]) -> None:
        """What turns out not to be that peer's, whose name anybody may write, is charged to the strangers and answered
        like theirs: neither a forger's own budget nor its answers tell it who is known here."""
        self._budgets.check(envelope.key)
        try:
            self._guard.check(envelope, kinds, envelope.key)
        except Flooded:
            raise
        except Fault:
            self._strangers.charge(envelope.key)
            raise
        self._budgets.charge(envelope.key)


_Who = TypeVar("_Who")


@contextmanager
def disclosing(introduced: Callable[[_Who], bool], who: _Who) -> Iterator[None]:
    """From here on the peer has proven its key, and may be told why it is refused if it was introduced."""
    try:
        yield
    except Fault as fault:
        fault.disclosed = introduced(who)
        raise
