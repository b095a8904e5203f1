"""The signed revocation list over time and in bad times."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import aitp
import pytest

from tests.unit.control_plane.asking import Plane

LIST = "/.well-known/aitp-revocation-list"


async def _listed(plane: Plane) -> list[dict[str, Any]]:
    answer = await plane.ask("GET", LIST)
    aitp.verify_revocation_list(answer.body.decode(), plane.running.aid)
    entries: list[dict[str, Any]] = answer.json["revocation_list"]["entries"]
    return entries


async def _revoke(plane: Plane, jti: str, **more: Any) -> None:
    assert (await plane.ask("POST", "/api/revocation/entries", {"jti": jti, **more})).status == 201


class Signing:
    """The service's own signing, counted; each passes ``gate`` after the entries were read."""

    def __init__(self, plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
        self._sign = plane.service.identity.sign_list
        self.times = 0
        self.begun = asyncio.Event()
        self.gate = threading.Event()
        self.gate.set()
        self._loop = asyncio.get_running_loop()
        monkeypatch.setattr(plane.service.identity, "sign_list", self)

    def __call__(self, entries: Sequence[dict[str, Any]]) -> str:
        self.times += 1
        self._loop.call_soon_threadsafe(self.begun.set)
        self.gate.wait(10)
        return self._sign(entries)


async def test_the_list_is_signed_again_after_sixty_seconds_and_not_before(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    signing = Signing(plane, monkeypatch)
    for skipped, times in ((0, 1), (59, 1), (2, 2)):
        plane.skip(skipped)
        await _listed(plane)
        assert signing.times == times


async def test_an_entry_made_while_the_list_is_being_signed_is_on_the_next_one(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    signing = Signing(plane, monkeypatch)
    signing.gate.clear()
    early = asyncio.ensure_future(_listed(plane))
    await signing.begun.wait()
    await _revoke(plane, str(uuid4()))
    late = asyncio.ensure_future(_listed(plane))
    signing.gate.set()
    assert (len(await early), len(await late)) == (0, 1)


async def test_entries_keep_their_first_time_and_reason(plane: Plane) -> None:
    jti = str(uuid4())
    await _revoke(plane, jti, reason="first", revokedAt="2026-01-02T03:04:05Z")
    await _revoke(plane, jti, reason="second")
    assert await _listed(plane) == [{"jti": jti, "reason": "first", "revoked_at": 1767323045}]


async def test_a_database_that_cannot_be_read_gives_an_empty_list_that_is_kept_for_a_minute(plane: Plane) -> None:
    await _revoke(plane, str(uuid4()))
    plane.service.db.lost = True
    assert await _listed(plane) == []
    plane.service.db.lost = False
    assert await _listed(plane) == []
    plane.skip(61)
    assert len(await _listed(plane)) == 1


async def test_a_jti_that_cannot_be_signed_breaks_the_list_across_restarts(start: Any, tmp_path: Any) -> None:
    plane = await start(database=str(tmp_path / "cp.db"))
    await _revoke(plane, "2ed6657d-e927-568b-95e1-2665a8aea6a2")
    for each in (plane, await start(database=str(tmp_path / "cp.db"))):
        answer = await each.ask("GET", LIST)
        assert (answer.status, answer.body) == (500, b"")


async def test_a_reason_of_500_characters_passes_and_a_longer_one_does_not(plane: Plane) -> None:
    await _revoke(plane, str(uuid4()), reason="é" * 500)
    refused = await plane.ask("POST", "/api/revocation/entries", {"jti": str(uuid4()), "reason": "é" * 501})
    assert (refused.status, refused.json["code"]) == (400, "BODY_INVALID")
    assert len(await _listed(plane)) == 1


async def test_the_manifest_is_signed_once_and_outlived_after_a_day(plane: Plane) -> None:
    first, second = [(await plane.ask("GET", "/.well-known/aitp-manifest")).body for _ in range(2)]
    assert first == second
    aitp.verify_manifest_json(first.decode())
    said = json.loads(first)["manifest"]
    assert said["aid"] == plane.running.aid
    assert said["expires_at"] - said["published_at"] == 86_400
    assert said["handshake_endpoint"].startswith(plane.url)
