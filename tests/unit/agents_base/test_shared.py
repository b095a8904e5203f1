"""Dropping what came of a handshake that failed."""

from __future__ import annotations

import time
import uuid
from types import SimpleNamespace
from typing import Any

import pytest

from base.process.bootstrap import RevocationConfig
from base.protocol import revocation
from base.protocol.revocation import RevocationState
from base.protocol.shared import Shared
from base.protocol.tokens import Shelf, Token, TokenBook


def token(jti: str) -> Token:
    return Token(tct=jti, claims={"jti": jti, "grants": [], "exp": time.time() + 600}, peer_aid="aid:p", agent_id="p")


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Shared:
    monkeypatch.setattr(revocation, "MAX_LIST", 4096)
    state = RevocationState(RevocationConfig("fail_open", 300, 60), None)
    events: list[Any] = []
    telemetry = SimpleNamespace(told=events, emit=lambda *said, **fields: events.append((said, fields)))
    nothing: Any = None
    return Shared(nothing, nothing, TokenBook(), state, nothing, telemetry, nothing, nothing, nothing)  # type: ignore[arg-type]


def test_the_very_token_is_dropped_and_not_another_of_its_id(shared: Shared) -> None:
    jti = str(uuid.uuid4())
    issued, held = token(jti), token(jti)
    shared.tokens.issued.add(issued)
    shared.tokens.held.add(held)
    shared.drop(held, "held", "peer_failed_it")
    assert (list(shared.tokens.issued), list(shared.tokens.held)) == ([issued], [])
    assert not shared.revocations.deny(jti)
    shared.drop(issued, "issued", "peer_failed_it")
    assert not list(shared.tokens.issued)
    assert shared.revocations.deny(jti) == {jti}


def test_handshakes_that_fail_leave_half_of_the_list_to_those_who_revoke(shared: Shared) -> None:
    dropped = [token(str(uuid.uuid4())) for _ in range(100)]
    for one in dropped:
        shared.drop(one, "issued", "peer_failed_it")
    assert all(shared.revocations.deny(one.jti) for one in dropped), "none of them is good"
    assert sum(shared.revocations.source_of(one.jti) == "local" for one in dropped) < 50, "and not all are listed"
    assert shared.revocations.revoke(str(uuid.uuid4()), "lost")


def test_what_has_to_go_for_another_token_is_told_with_the_side_that_it_was_on(shared: Shared) -> None:
    shared.tokens.held, shared.tokens.issued = Shelf(limit=2), Shelf(limit=2)
    first, *others = [token(str(uuid.uuid4())) for _ in range(3)]
    for one in (first, *others):
        shared.keep(one, "held")
    shared.keep(first, "issued", "aid:delegator")
    assert list(shared.tokens.held) == others
    assert list(shared.tokens.issued.of_owner("aid:delegator")) == [first]
    assert shared.telemetry.told == [  # type: ignore[attr-defined]
        (
            ("tct.dropped",),
            {"jti": first.jti, "aid": "aid:p", "target": "p", "payload": {"because": "no_room", "side": "held"}},
        )
    ]
    assert not shared.revocations.deny(first.jti), "it stays as good as it was"
