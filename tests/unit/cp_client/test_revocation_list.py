"""Which revocation list is believed, and how the issuer is pinned."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aitp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aitp_playground.cp_client.issuer_pin import IssuerPin

from .conftest import MakeClient
from .operations import CP, ENTRY, JTI
from .rogue import Behaviour, Rogue, in_turn, says

CP_SEED, STRANGER_SEED = bytes(range(32)), b"s" * 32
STRANGER = aitp.AitpAgent.from_seed(STRANGER_SEED)
LIST = "/.well-known/aitp-revocation-list"


def signed(seed: bytes = CP_SEED, *, published_ago: float = 0, life: int = 3600) -> dict[str, Any]:
    """A list as its signer would have published it ``published_ago`` seconds ago.

    The SDK signs for the present only, so the envelope is dated and then signed here: Ed25519 over the SHA-256 of the
    canonical JSON (RFC 8785; for ASCII keys and whole numbers that is sorted keys and no blanks).
    """
    document: dict[str, Any] = json.loads(aitp.AitpAgent.from_seed(seed).sign_revocation_list([ENTRY]))
    body = document["revocation_list"]
    body["published_at"] = int(time.time() - published_ago)
    body["expires_at"] = body["published_at"] + life
    digest = hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).digest()
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(digest)
    return {**document, "signature": base64.urlsafe_b64encode(signature).rstrip(b"=").decode()}


def tampered() -> dict[str, Any]:
    document = signed()
    document["revocation_list"]["entries"] = []
    return document


def health(aid: Any = CP.aid) -> Behaviour:
    return says({"ok": True, "aid": aid})


def pin_files(state: Path) -> list[Path]:
    return sorted((state / "cp-pins").glob("*"))


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        # Made when the test runs: the suite may be collected long before.
        (lambda: signed(STRANGER_SEED), "list_unverified"),
        (tampered, "list_unverified"),
        (lambda: signed(published_ago=7200), "list_unverified"),
        (lambda: signed(published_ago=-900), "list_unverified"),
        (lambda: {**signed(), "more": 1}, "list_unverified"),
        (lambda: {"revocation_list": {"entries": []}}, "list_unverified"),
        (lambda: signed()["revocation_list"], "bad_shape"),
        (lambda: {"revocation_list": {"entries": None}}, "bad_shape"),
        (lambda: {"revocation_list": []}, "bad_shape"),
    ],
    ids=[
        "foreign",
        "tampered",
        "expired",
        "of the future",
        "extra member",
        "bare",
        "no envelope",
        "no entries",
        "list",
    ],
)
async def test_a_list_that_does_not_hold_says_nothing(
    made: Callable[[], Any], reason: str, rogue: Rogue, make_client: MakeClient
) -> None:
    rogue.behaviour = says(made())
    outcome = await make_client(rogue.url, cp_aid=CP.aid).fetch_revocation_list.outcome()
    assert (outcome.value, outcome.reason) == ([], reason)


async def test_a_verified_list_gives_its_entries_and_caches_are_passed_by(
    rogue: Rogue, make_client: MakeClient
) -> None:
    rogue.behaviour = says(signed())
    entries = await make_client(rogue.url, cp_aid=CP.aid).fetch_revocation_list()
    assert [entry["jti"] for entry in entries] == [JTI]
    assert rogue.asked == [f"GET {LIST}"]
    assert rogue.seen[0].headers["Cache-Control"] == "no-cache"


async def test_an_older_list_is_refused_though_it_verifies(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = in_turn(says(signed()), says(signed(published_ago=60)), says(signed()))
    client = make_client(rogue.url, cp_aid=CP.aid)
    reasons = [(await client.fetch_revocation_list.outcome()).reason for _ in range(3)]
    assert reasons == [None, "list_unverified", None]


async def test_a_refused_list_does_not_raise_the_mark_for_the_next(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = in_turn(
        says(signed(published_ago=-900)), says(signed(STRANGER_SEED)), says(signed(published_ago=60))
    )
    client = make_client(rogue.url, cp_aid=CP.aid)
    reasons = [(await client.fetch_revocation_list.outcome()).reason for _ in range(3)]
    assert reasons == ["list_unverified", "list_unverified", None]


async def test_first_contact_pins_the_issuer_for_this_url_and_the_next_process(
    rogue: Rogue, make_client: MakeClient, tmp_path: Path
) -> None:
    rogue.route("GET", "/api/health", health())
    rogue.route("GET", LIST, says(signed()))
    assert len(await make_client(rogue.url).fetch_revocation_list()) == 1
    (file,) = pin_files(tmp_path / "state")
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)

    rogue.route("GET", "/api/health", health(STRANGER.aid))
    rogue.route("GET", LIST, says(signed(STRANGER_SEED)))
    later = make_client(rogue.url + "/api/")
    assert (await later.fetch_revocation_list.outcome()).reason == "list_unverified"
    assert await later.pinned_aid() == CP.aid
    assert rogue.asked.count("GET /api/health") == 1


async def test_another_url_has_another_pin(rogue: Rogue, make_client: MakeClient, tmp_path: Path) -> None:
    rogue.behaviour = in_turn(health(), health(STRANGER.aid))
    assert await make_client(rogue.url).pinned_aid() == CP.aid
    assert await make_client(rogue.url + "/other").pinned_aid() == STRANGER.aid
    assert len(pin_files(tmp_path / "state")) == 2


async def test_the_configured_aid_needs_no_first_contact_and_leaves_no_file(
    rogue: Rogue, make_client: MakeClient, tmp_path: Path
) -> None:
    assert await make_client(rogue.url, cp_aid=CP.aid).pinned_aid() == CP.aid
    assert (rogue.asked, pin_files(tmp_path / "state")) == ([], [])


@pytest.mark.parametrize("aid", [None, 5, "", "aid:pubkey:short", "did:web:x"])
async def test_a_health_document_without_an_aid_pins_nothing(
    aid: Any, rogue: Rogue, make_client: MakeClient, tmp_path: Path
) -> None:
    rogue.behaviour = in_turn(health(aid), health())
    client = make_client(rogue.url)
    outcome = await client.pinned_aid.outcome()
    assert (outcome.value, outcome.reason, pin_files(tmp_path / "state")) == ("", "bad_shape", [])
    assert await client.pinned_aid() == CP.aid


async def test_two_processes_at_first_contact_agree_on_one_pin(tmp_path: Path) -> None:
    """The slower one is told something else by an impostor; the file of the quicker one stands."""
    both_asked = asyncio.Barrier(2)

    async def contact(aid: str) -> str:
        await both_asked.wait()
        return aid

    pins = [IssuerPin("http://cp", "", tmp_path) for _ in range(2)]
    aids = await asyncio.gather(pins[0].aid(lambda: contact(CP.aid)), pins[1].aid(lambda: contact(STRANGER.aid)))
    assert aids[0] == aids[1]
    assert [file.suffix for file in pin_files(tmp_path)] == [".json"]


def _damage(file: Path) -> None:
    file.write_bytes(b"{}")


def _other_url(file: Path) -> None:
    file.write_text(json.dumps({"url": "http://elsewhere", "aid": CP.aid}))


def _readable(file: Path) -> None:
    file.chmod(0o644)


def _link(file: Path) -> None:
    file.rename(file.with_suffix(".real"))
    file.symlink_to(file.with_suffix(".real"))


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


@pytest.mark.parametrize("spoil", [_damage, _other_url, _readable, _link, _pipe])
async def test_a_pin_that_was_tampered_with_is_neither_used_nor_replaced(
    spoil: Any, rogue: Rogue, make_client: MakeClient, tmp_path: Path
) -> None:
    rogue.route("GET", "/api/health", health())
    rogue.route("GET", LIST, says(signed()))
    await make_client(rogue.url).pinned_aid()
    spoil(next(file for file in pin_files(tmp_path / "state")))
    outcome = await make_client(rogue.url).fetch_revocation_list.outcome()
    assert (outcome.value, outcome.reason) == ([], "list_unverified")
    assert rogue.asked == ["GET /api/health"]


async def test_a_state_directory_that_cannot_be_written_costs_the_memory_only(
    rogue: Rogue, make_client: MakeClient, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("not a directory")
    rogue.route("GET", "/api/health", health())
    rogue.route("GET", LIST, says(signed()))
    client = make_client(rogue.url)
    assert len(await client.fetch_revocation_list()) == 1
    assert await client.pinned_aid() == CP.aid
