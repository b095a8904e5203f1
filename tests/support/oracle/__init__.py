"""A second opinion on all that agents sign and decide, by an implementation that shares no code with theirs.

It reads what the tapped workers of ``tests/variants`` have written down, in the order in which it happened. Every
manifest, envelope, token, voucher, delegation, list and bundle is verified with ``aitp-verifier``; every call, renewal,
redemption and handshake is judged anew; each list is held against the one before it; and both sides of each message
must tell the same. What looks signed and is of no kind that is known is a finding too, so that nothing goes by unseen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from aitp_verifier.errors import AitpError

from tests.support.oracle.calls import REDEEM, Calls, is_let_in
from tests.support.oracle.errands import Errands
from tests.support.oracle.facts import Facts
from tests.support.oracle.handshakes import Handshakes
from tests.support.oracle.lists import Lists
from tests.support.oracle.pairing import pair
from tests.support.oracle.recording import Contradiction, Document, contradiction, in_order, read_tap, whole
from tests.support.oracle.signed import Signed

__all__ = ["Contradiction", "Document", "Oracle", "read_tap"]

#: Too slow, too large, packed, too many, no room: what says nothing of who asked.
_PUT_OFF = (408, 413, 415, 429, 503)


class Oracle:
    """One run's messages, looked at once. ``outside`` are the AIDs of signers that are no agents of the run."""

    def __init__(self, messages: Iterable[Document], outside: Collection[str] = ()) -> None:
        self._messages = whole(messages)
        self._facts = Facts(self._messages, outside)
        self._lists = Lists(self._facts)
        self._signed = Signed(self._facts, self._lists)
        self._calls = Calls(self._facts, self._lists)
        self._handshakes = Handshakes(self._facts, self._signed, self._lists)
        self._errands = Errands(self._facts, self._lists)

    @property
    def seen(self) -> Counter[str]:
        """How many different ones of each kind have verified, and how much was judged as the agents judged it."""
        return self._facts.seen

    @property
    def tcts(self) -> dict[str, Document]:
        """jti -> claims, of every token that verified."""
        return self._facts.tcts

    @property
    def to_be_told(self) -> Counter[tuple[str, str, str]]:
        """What the log has to tell as well: agent, event, and the jti that it is about."""
        return self._facts.to_be_told

    def judge(self) -> None:
        """Verify everything. Raises :class:`Contradiction`."""
        for at, message, part in in_order(self._messages):
            look = self._look_at_request if part == "request" else self._look_at_answer
            try:
                look(message, at)
            except AitpError as error:
                raise contradiction(message, f"{error.code}: {error}") from error
            except Contradiction as error:
                raise contradiction(message, str(error)) from None
        if unjudged := self._signed.unjudged():
            raise Contradiction(f"{unjudged} ID tokens that nobody showed to whom they are for")
        pair(self._messages, self._facts)

    def _look_at_request(self, message: Document, at: int) -> None:
        if message["side"] == "asked":
            self._lists.tried(message)
            self._handshakes.note(message)
            self._signed.in_request(message, at)
            return
        self._lists.own(message, at)
        if _is_put_off(message):
            self.seen["put off"] += 1
        elif message["path"] != REDEEM:  # which waits for a manifest
            self._hold_to(message, self._calls.verdict(message, at))

    def _look_at_answer(self, message: Document, at: int) -> None:
        self._signed.in_answer(message, at)
        if message["side"] == "asked":
            self._facts.look_up(message)
            self._errands.note(message)
            return
        if _is_put_off(message):
            return
        self._calls.note(message)
        if message["path"] == "/admin/peers" and message["status"] == 200:
            self._facts.introduce(message)
        if message["path"] == REDEEM:
            self._hold_to(message, self._calls.verdict(message, at))
        self._hold_to(message, self._handshakes.verdict(message, at))
        self._errands.check(message)

    def _hold_to(self, message: Document, judged: tuple[str, str | None] | None) -> None:
        """What was decided, against what the oracle says of it."""
        if judged is None:
            return
        kind, refused = judged
        if (refused is None) != is_let_in(message):
            said = f"answered {message['status']}: {message['answer'][:300]}"
            raise Contradiction(f"{said}; the oracle says {refused or 'yes'}")
        self.seen[f"{kind} {'granted' if refused is None else 'refused'}"] += 1


def _is_put_off(message: Document) -> bool:
    return message["method"] == "POST" and message["status"] in _PUT_OFF and not message["path"].startswith("/admin/")
