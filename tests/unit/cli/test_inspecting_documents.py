"""Signed documents in which anything at all stands in the place of anything: judged, and never a failure of inspect's
own; session bundles as far as they can be judged, as the independent verifier does."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from typing import Any

import aitp
import pytest
from aitp_verifier.errors import AitpError
from aitp_verifier.jcs import canonicalize
from aitp_verifier.sessionbundle import verify_session_bundle

from aitp_playground.cli.commands.inspect import _lines
from aitp_playground.cli.inspecting.documents import inspect
from aitp_playground.cli.inspecting.findings import Inspected
from aitp_playground.errors import InvalidRequest
from tests.interop.foreign import manifests
from tests.interop.foreign.envelopes import VERSION, draft
from tests.interop.foreign.envelopes import signed as signed_envelope
from tests.interop.foreign.keys import Key
from tests.interop.foreign.tokens import claims_of, grant

NOW = 1_800_000_000
KEY, ONE, OTHER = Key(), Key("p256"), Key()
DEEP: Any = 1
for _ in range(150):
    DEEP = [DEEP]
ODD: list[Any] = [5, None, True, -1.5, 2**53, "x", [], {}, [5], [None], [{}], {"x": 5}, DEEP]


def _manifest(body: dict[str, Any]) -> dict[str, Any]:
    return {"manifest": manifests.signed(KEY, body)}


def _list(body: dict[str, Any]) -> dict[str, Any]:
    return {"revocation_list": body, "signature": KEY.sign(canonicalize(body))}


def _bundle(body: dict[str, Any]) -> dict[str, Any]:
    return {"session_bundle": manifests.signed(KEY, body)}


def _envelope(body: dict[str, Any]) -> dict[str, Any]:
    return signed_envelope(KEY, body)


def _tct(key: Key, holder: Key, life: int = 1000, **changes: Any) -> str:
    return grant(key, holder.aid, ["demo.a"], NOW - 1, NOW + life, **changes).tct


BUNDLE = {
    "version": VERSION,
    "session_id": "11111111-1111-4111-8111-111111111111",
    "coordinator": KEY.aid,
    "issued_at": NOW,
    "expires_at": NOW + 1000,
    "participants": [{"aid": ONE.aid, "tct": _tct(KEY, ONE)}, {"aid": OTHER.aid, "tct": _tct(KEY, OTHER, 2000)}],
}
ENTRY = {"jti": "00000000-0000-4000-8000-000000000000", "revoked_at": NOW - 9, "reason": "lost"}
LIST = {"version": VERSION, "issuer": KEY.aid, "published_at": NOW, "expires_at": NOW + 600, "entries": [ENTRY]}
MADE = {
    "manifest": (_manifest, manifests.unsigned(KEY, "A", "http://localhost:1/h", ["demo.a"], NOW)),
    "list": (_list, LIST),
    "bundle": (_bundle, BUNDLE),
    "envelope": (_envelope, draft(KEY, "error", {"code": "x", "more": [{"a": 1}]}, NOW)),
}
VERDICTS = {"manifest": "good", "list": "good", "bundle": "unknown", "envelope": "good"}


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    if isinstance(value, dict | list):
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(part, (*at, name))


def _with(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    changed = copy.deepcopy(document)
    inner = changed
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return changed


def _looked_at(document: Any) -> Inspected | None:
    try:
        found = inspect(json.dumps(document).encode(), NOW)
    except InvalidRequest:
        return None
    assert list(_lines(found, NOW))
    assert json.dumps(found.told())
    return found


@pytest.mark.parametrize("kind", MADE)
def test_nothing_in_the_place_of_anything_makes_it_fail(kind: str) -> None:
    """Once with a signature over what stands there, which only the form can give away, and once without."""
    sign, body = MADE[kind]
    whole = sign(body)
    found = _looked_at(whole)
    assert found is not None
    assert found.verdict == VERDICTS[kind], found
    for value in ODD:
        for place in _places(whole):
            found = _looked_at(_with(whole, place, value))
            assert found is None or found.verdict == "bad" or _with(whole, place, value) == whole or kind == "bundle"
        for place in list(_places(body))[1:]:
            found = _looked_at(sign(_with(body, place, value)))
            assert found is None or found.code is not None or found.verdict == VERDICTS[kind]


@pytest.mark.parametrize("entries", [5, None, True, "x", {}, [5], [None], [[]], [{}], [{**ENTRY, "jti": 5}]])
def test_a_list_whose_entries_are_none_is_bad(entries: Any) -> None:
    for text in (_list({**LIST, "entries": entries}), {**_list(LIST), "revocation_list": {**LIST, "entries": entries}}):
        found = _looked_at(text)
        assert found is not None
        assert (found.verdict, found.code) == ("bad", "REVOCATION_SNAPSHOT_INVALID")


def test_a_list_says_how_many_it_revokes() -> None:
    found = _looked_at(_list(LIST))
    assert found is not None
    assert "revokes 1 tokens" in found.said


def _independent(document: Any) -> str | None:
    try:
        verify_session_bundle({"self_aid": ONE.aid, "session_bundle": document}, NOW)
    except AitpError as error:
        return str(error.code)
    return None


def _row(**changes: Any) -> dict[str, Any]:
    return {"participants": [{**BUNDLE["participants"][0], **changes}, BUNDLE["participants"][1]]}  # type: ignore[index]


FORGED = Key().token("aitp-tct+jwt", claims_of(_tct(KEY, ONE)))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (_row(tct=FORGED), "BUNDLE_PARTICIPANT_TCT_INVALID"),
        (_row(tct="1.2.3"), "BUNDLE_PARTICIPANT_TCT_INVALID"),
        (_row(tct=""), "BUNDLE_PARTICIPANT_TCT_INVALID"),
        (_row(tct=_tct(KEY, ONE, aud=5)), "BUNDLE_PARTICIPANT_TCT_INVALID"),
        (_row(tct=grant(KEY, ONE.aid, ["a"], NOW, NOW + 1000).voucher), "BUNDLE_PARTICIPANT_TCT_INVALID"),
        (_row(tct=_tct(OTHER, ONE)), "BUNDLE_COORDINATOR_ISSUER_MISMATCH"),
        (_row(aid=OTHER.aid), "BUNDLE_AUDIENCE_MISMATCH"),
        (_row(tct=_tct(KEY, ONE, 900)), "BUNDLE_EXPIRY_WINDOW_INVARIANT"),
        (_row(tct=5), "SESSION_BUNDLE_INVALID"),
        (_row(more=5), "UNKNOWN_FIELD"),
        ({"participants": [5]}, "SESSION_BUNDLE_INVALID"),
        ({"participants": "all"}, "SESSION_BUNDLE_INVALID"),
        ({"participants": []}, "BUNDLE_EMPTY_PARTICIPANTS"),
        ({"expires_at": NOW}, "BUNDLE_EXPIRED"),
        ({"expires_at": "soon"}, "SESSION_BUNDLE_INVALID"),
        ({"version": "aitp/9"}, "BUNDLE_VERSION_MISMATCH"),
        ({"coordinator": "x"}, "SESSION_BUNDLE_INVALID"),
        ({"extensions": 5}, "SESSION_BUNDLE_INVALID"),
        ({"more": 5}, "UNKNOWN_FIELD"),
    ],
)
def test_what_is_wrong_with_a_bundle_needs_no_manifest_to_be_seen(changes: dict[str, Any], code: str) -> None:
    text = _bundle({**BUNDLE, **changes})
    found = _looked_at(text)
    assert found is not None
    assert (found.verdict, found.code) == ("bad", code)
    assert _independent(text) == code


def test_a_bundle_has_all_its_members_and_none_beside_it() -> None:
    whole = _bundle(BUNDLE)
    assert _independent(whole) is None
    for name in whole["session_bundle"]:
        body = {other: value for other, value in whole["session_bundle"].items() if other != name}
        found = _looked_at({"session_bundle": body})
        assert found is not None
        assert (found.verdict, name in found.said) == ("bad", True)
    beside = _looked_at({**whole, "signature": "x"})
    assert beside is not None
    assert beside.code == _independent({**whole, "signature": "x"}) == "SESSION_BUNDLE_INVALID"


def test_what_the_sdk_bundles_is_left_to_its_participants() -> None:
    now = int(time.time())
    builder = aitp.SessionBundleBuilder(aitp.AitpAgent.from_seed(KEY.seed))
    for holder in (ONE, OTHER):
        builder = builder.participant(holder.aid, grant(KEY, holder.aid, ["demo.a"], now, now + 1000).tct)
    found = inspect(builder.build().encode(), now)
    assert (found.verdict, found.code) == ("unknown", None)
    assert [each.verdict for each in (found.inner or {}).values()] == ["good", "good"]
