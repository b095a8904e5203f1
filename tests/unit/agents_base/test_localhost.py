"""What localhost is, is one rule for agents and the service, which share no code."""

from __future__ import annotations

import pytest

from aitp_playground.net import LocalResolver
from base.http.peer_client import LoopbackResolver

LOCAL = ["localhost", "LOCALHOST", "localhost.", "agent.localhost", "a.b.Localhost."]
OTHERS = ["notlocalhost", "localhost.example", "localhost..", "", "127.0.0.1", "localhost.localdomain"]


class LookedUpError(Exception):
    """Somebody else was asked."""


@pytest.mark.parametrize("name", [*LOCAL, *OTHERS])
async def test_both_take_the_same_names_for_this_machine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def elsewhere(*_args: object, **_kwargs: object) -> list[object]:
        raise LookedUpError

    service, agent = LocalResolver(), LoopbackResolver()
    monkeypatch.setattr(service._elsewhere, "resolve", elsewhere)
    monkeypatch.setattr("asyncio.get_running_loop", lambda: type("Loop", (), {"getaddrinfo": staticmethod(elsewhere)}))
    for resolver in (service, agent):
        if name in LOCAL:
            (found,) = await resolver.resolve(name, 80)
            assert (found["host"], found["port"], found["hostname"]) == ("127.0.0.1", 80, name)
        else:
            with pytest.raises(LookedUpError):
                await resolver.resolve(name, 80)
    monkeypatch.undo()
