"""What a standalone agent revoked is on disk before it is answered, and read or refused when it starts anew."""

from __future__ import annotations

import asyncio
import errno
import json
import stat
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from base.process import private_files
from base.process.bootstrap import RevocationConfig
from base.protocol import revocation_record
from base.protocol.redeemed import Redeemed, RedeemedBook
from base.protocol.revocation import RevocationState
from base.protocol.revocation_record import RevocationRecord, _encoded
from base.protocol.tokens import Token
from base.refusals import Fault

AID = "aid:pubkey:somebody"
HOUR = 3600.0


def state() -> RevocationState:
    return RevocationState(RevocationConfig("fail_open", 300, 60), None)


def jtis(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


def opened(directory: Path, aid: str = AID) -> tuple[RevocationRecord, RevocationState]:
    known = state()
    return RevocationRecord(str(directory), aid, known, RedeemedBook()), known


def the_file(directory: Path) -> Path:
    [file] = directory.glob("*.json")
    return file


def suffixes(directory: Path) -> set[str]:
    return {file.suffix for file in directory.iterdir()}


async def test_what_was_revoked_and_made_is_there_after_a_restart(tmp_path: Path) -> None:
    record, known = opened(tmp_path)
    lost, root, child, grandchild = jtis(4)
    known.revoke(lost.upper(), "lost", expires_at=time.time() + HOUR)
    known.revoke(root, because="lineage")
    known.lineage.record(child, root, time.time() + HOUR, "redeemed")
    known.lineage.record(grandchild, child, time.time() + HOUR, "renewed")
    await record.save()
    assert stat.S_IMODE(the_file(tmp_path).stat().st_mode) == 0o600
    await record.close()
    again, restored = opened(tmp_path)
    assert (restored.source_of(lost), restored.source_of(root)) == ("local", "lineage")
    assert restored.source_of(grandchild) == "lineage"
    assert restored.lineage.family(child) == [grandchild]
    assert restored.kept() == known.kept()
    await again.close()
    assert suffixes(tmp_path) == {".json", ".lock"}


async def test_what_is_withheld_and_what_was_redeemed_is_there_too(tmp_path: Path) -> None:
    record, known = opened(tmp_path)
    record.redeemed.record("h.b.s", Redeemed("aid:c", "jti", time.time() + HOUR, "aid:b", {"tct": "secret"}))
    withheld, over = (
        Token(tct=jti, claims={"jti": jti, "exp": time.time() + seconds}, peer_aid="aid:a", agent_id="a")
        for jti, seconds in zip(jtis(2), (HOUR, -1), strict=True)
    )
    known.withhold(withheld)
    known.withhold(over)
    await record.save()
    await record.close()
    assert b"secret" not in the_file(tmp_path).read_bytes()
    again, restored = opened(tmp_path)
    assert again.redeemed.find("h.b.s") is not None
    assert [restored.is_withheld(token.jti) for token in (withheld, over)] == [True, False]
    await again.close()


async def test_who_cannot_wait_has_it_written_all_the_same(tmp_path: Path) -> None:
    record, known = opened(tmp_path)
    [jti] = jtis(1)
    known.revoke(jti)
    record.begin()
    await record.close()
    again, restored = opened(tmp_path)
    assert restored.source_of(jti) == "local"
    await again.close()


def empty_file(directory: Path) -> Path:
    opened(directory)[0]._release()
    file = next(directory.glob("*.lock")).with_suffix(".json")
    file.touch(0o600)
    return file


async def test_what_comes_while_it_is_being_written_is_written_too(tmp_path: Path) -> None:
    record, known = opened(tmp_path)
    first, second = jtis(2)
    known.revoke(first)
    record.begin()
    await asyncio.sleep(0)  # what is written now knows the first alone
    known.revoke(second)
    record.begin()
    await record.close()
    again, restored = opened(tmp_path)
    assert (restored.source_of(first), restored.source_of(second)) == ("local", "local")
    await again.close()


@pytest.mark.parametrize("count", [0, 1, 500, 501, 1500])
def test_document_in_pieces_is_the_document(count: int) -> None:
    document = {"v": 2, "aid": AID, "revoked": [["a", 1.5, None]] * count, "lineage": []}
    pieces = list(_encoded(document))
    assert json.loads("".join(pieces)) == document
    assert max(map(len, pieces)) < 20 * 500


async def test_file_of_the_version_before_is_read(tmp_path: Path) -> None:
    file = empty_file(tmp_path)
    [jti] = jtis(1)
    line = [jti, 1, None, "local", time.time() + HOUR]
    file.write_text(json.dumps({"v": 1, "aid": AID, "revoked": [line], "lineage": []}))
    record, restored = opened(tmp_path)
    assert restored.source_of(jti) == "local"
    await record.close()


async def test_what_has_expired_is_not_kept(tmp_path: Path) -> None:
    record, known = opened(tmp_path)
    expired, live, child = jtis(3)
    known.revoke(expired, expires_at=time.time() - HOUR)
    known.revoke(live, expires_at=time.time() + HOUR)
    known.lineage.record(child, live, time.time() - 1, "redeemed")
    await record.save()
    await record.close()
    document = json.loads(the_file(tmp_path).read_bytes())
    assert ([line[0] for line in document["revoked"]], document["lineage"]) == ([live], [])
    document["revoked"].append([expired, 1, None, "local", time.time() - 1])
    the_file(tmp_path).write_text(json.dumps(document))
    again, restored = opened(tmp_path)
    assert (restored.source_of(live), restored.source_of(expired)) == ("local", None)
    await again.close()


def test_line_stays_for_as_long_as_the_token_may_live() -> None:
    known = state()
    told, made, unknown = jtis(3)
    known.lineage.record(made, unknown, time.time() + HOUR, "redeemed")
    known.revoke(told, expires_at=time.time() + 2 * HOUR)
    known.revoke(made)
    known.revoke(unknown)
    ends = {line[0]: line[4] - time.time() for line in known.kept()["revoked"]}
    assert ends[told] == pytest.approx(2 * HOUR + 300, abs=60)
    assert ends[made] == pytest.approx(HOUR + 300, abs=60)
    assert ends[unknown] == pytest.approx(24 * HOUR + 300, abs=60)


def document(**changes: Any) -> bytes:
    kept = {"revoked": [], "lineage": [], "withheld": [], "redeemed": []}
    return json.dumps({"v": 2, "aid": AID} | kept | changes).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"v": 1',
        document(v=3),
        document(aid="aid:pubkey:other"),
        document(revoked=[["no-uuid", 1, None, "local", 9e9]]),
        document(revoked=[[jtis(1)[0].upper(), 1, None, "local", 9e9]]),
        document(revoked=[[jtis(1)[0], 1, None, "rumour", 9e9]]),
        document(revoked=[[jtis(1)[0], 1, None, "local"]]),
        document(revoked=[[jtis(1)[0], 1, None, "local", "late"]]),
        document(revoked=5),
        document(lineage=[["a", "a", "redeemed", 9e9]]),
        document(lineage=[["a", "b", "redeemed", 9e9], ["b", "a", "redeemed", 9e9]]),
        document(lineage=[["a", "b", "stolen", 9e9]]),
        document(lineage=None),
        document(withheld=[["a"]]),
        document(withheld=[["a", "late"]]),
        document(redeemed=[["no hex", "aid:c", "jti", 9e9, "aid:b"]]),
        document(redeemed=[["00" * 32, "aid:c", "jti", 9e9]]),
        document(redeemed=[["00" * 32, "aid:c", "jti", 9e9, 5]]),
        document(redeemed=[["00" * 32, "aid:c", "jti", 9e9, "aid:b"]] * 2),
        b"[" * 100_000,
    ],
)
def test_damaged_file_is_refused_with_a_sentence_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    first, _ = opened(tmp_path)
    first._release()
    file = next(tmp_path.glob("*.lock")).with_suffix(".json")
    file.touch(0o600)
    file.write_bytes(content)
    with pytest.raises(OSError, match=r"is damaged\. Put back a copy") as refused:
        opened(tmp_path)
    assert str(file) in str(refused.value)
    assert file.read_bytes() == content
    file.write_bytes(document())
    opened(tmp_path)[0]._release()


def test_file_that_is_too_large_or_another_users_to_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(tmp_path)[0]._release()
    file = next(tmp_path.glob("*.lock")).with_suffix(".json")
    file.write_bytes(document())
    file.chmod(0o640)
    with pytest.raises(OSError, match="mode 640"):
        opened(tmp_path)
    file.chmod(0o600)
    monkeypatch.setattr(revocation_record, "MAX_BYTES", 10)
    with pytest.raises(OSError, match="more than 10 bytes"):
        opened(tmp_path)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="is a link"):
        opened(tmp_path)


async def test_two_processes_do_not_share_a_file_and_two_agents_have_one_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_files, "LOCK_WAIT", 0)
    record, _ = opened(tmp_path)
    with pytest.raises(OSError, match="another process runs as this agent"):
        opened(tmp_path)
    other, _ = opened(tmp_path, "aid:pubkey:other")
    await record.close()
    again, _ = opened(tmp_path)
    await asyncio.gather(again.close(), other.close())


async def test_revocation_that_cannot_be_kept_is_answered_with_503_and_kept_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record, known = opened(tmp_path)
    first, second = jtis(2)
    known.revoke(first)

    def full(_path: Path, _content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(private_files, "replace", full)
        with pytest.raises(Fault, match="No space left") as caught:
            await record.save()
    assert caught.value.status == 503
    assert str(tmp_path) not in str(caught.value)
    assert str(tmp_path) in capsys.readouterr().err
    assert known.source_of(first) == "local"
    known.revoke(second)
    await record.save()
    await record.close()
    again, restored = opened(tmp_path)
    assert {restored.source_of(first), restored.source_of(second)} == {"local"}
    await again.close()


async def test_many_who_save_at_once_share_writes_and_one_that_is_cancelled_takes_nothing_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, known = opened(tmp_path)
    writes, replace = [], private_files.replace

    def counted(path: Path, content: bytes) -> None:
        writes.append(len(content))
        replace(path, content)

    monkeypatch.setattr(private_files, "replace", counted)
    saving = []
    for jti in jtis(50):
        known.revoke(jti)
        saving.append(asyncio.create_task(record.save()))
    await asyncio.sleep(0)
    saving[0].cancel()
    done = await asyncio.gather(*saving, return_exceptions=True)
    assert [outcome for outcome in done[1:] if outcome is not None] == []
    assert len(writes) <= 2
    assert len(json.loads(the_file(tmp_path).read_bytes())["revoked"]) == 50
    await record.save()
    assert len(writes) <= 2, "nothing is new"
    await record.close()


async def test_agent_of_a_run_keeps_nothing() -> None:
    known = state()
    record = RevocationRecord(None, AID, known, RedeemedBook())
    known.revoke(*jtis(1))
    await record.save()
    await record.close()
