"""Signed JSON documents: manifests, revocation lists, envelopes, session bundles. The SDK judges them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import aitp

from aitp_playground import strict_json
from aitp_playground.cli.inspecting.bundles import inspect_bundle
from aitp_playground.cli.inspecting.findings import Inspected
from aitp_playground.cli.inspecting.jws import Malformed
from aitp_playground.cli.inspecting.tokens import inspect_token
from aitp_playground.errors import InvalidRequest
from aitp_playground.events.codes import REGISTRY_CODES

#: The most that is looked at, bytes: a revocation list of thousands of entries is the largest.
LARGEST: Final = 4 * 1024 * 1024
_TOKEN: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]*")
_PREFIX: Final = {"manifest": "MANIFEST_", "revocation list": "REVOCATION_SNAPSHOT_", "envelope": ""}
_OTHERWISE: Final = {
    "manifest": "MANIFEST_INVALID",
    "revocation list": "REVOCATION_SNAPSHOT_INVALID",
    "envelope": "INVALID_ENVELOPE",
}


def inspect(raw: bytes, now: float) -> Inspected:
    """What this is, and whether it holds at ``now``. Raises InvalidRequest for what is none of the protocol's."""
    try:
        text = raw.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise InvalidRequest("this is no text in UTF-8") from None
    if _TOKEN.fullmatch(text):
        return _token(text, now)
    try:
        document = strict_json.loads(text.encode())
    except strict_json.NotExact as fault:
        raise InvalidRequest(f"this is neither a token nor JSON: {fault}") from None
    if isinstance(document, str) and _TOKEN.fullmatch(document):
        return _token(document, now)
    if not isinstance(document, dict):
        raise InvalidRequest("this is JSON, and no object")
    for member, look in _FORMS.items():
        if member in document:
            return look(document, text, now)
    raise InvalidRequest(
        "this is no manifest, revocation list, envelope or session bundle: none of the members "
        f"{', '.join(_FORMS)} is there"
    )


def _token(text: str, now: float) -> Inspected:
    try:
        return inspect_token(text, now)
    except Malformed as fault:
        raise InvalidRequest(f"this has the three parts of a token and is none: {fault}") from None


def _manifest(document: Mapping[str, Any], text: str, now: float) -> Inspected:
    body = _inside(document, "manifest")
    note = "that this is the agent that you mean is its own word: compare the AID with the one that you know"
    return _judged(
        "manifest", body, lambda: aitp.verify_manifest_json(text, int(now)), f"it is of {body.get('aid')}", (note,)
    )


def _list(document: Mapping[str, Any], text: str, now: float) -> Inspected:
    body = _inside(document, "revocation_list")
    issuer = body.get("issuer")
    if not isinstance(issuer, str):
        return _bad("revocation list", body, "REVOCATION_SNAPSHOT_INVALID", "it names no issuer")
    entries = body.get("entries")
    number = len(entries) if isinstance(entries, list) else 0
    notes = ("that this is the issuer to ask is its own word", "a newer list may say more: compare published_at")
    return _judged(
        "revocation list",
        body,
        lambda: aitp.verify_revocation_list(text, issuer, int(now)),
        f"it is of {issuer}, and revokes {number} tokens",
        notes,
    )


def _envelope(document: Mapping[str, Any], text: str, _now: float) -> Inspected:
    sender = document.get("sender")
    aid = sender.get("agent_id") if isinstance(sender, Mapping) else None
    if not isinstance(aid, str):
        return _bad("envelope", document, "INVALID_ENVELOPE", "it names no sender")
    notes = ("how old it may be, and whether it was seen before, is for whoever receives it",)
    said = f"a message {document['message_type']!r} of {aid}"
    return _judged("envelope", document, lambda: aitp.verify_envelope(text, aid), said, notes)


def _bundle(document: Mapping[str, Any], _text: str, now: float) -> Inspected:
    return inspect_bundle(document, _inside(document, "session_bundle"), now)


_FORMS: Final[Mapping[str, Callable[[Mapping[str, Any], str, float], Inspected]]] = {
    "manifest": _manifest,
    "revocation_list": _list,
    "message_type": _envelope,
    "session_bundle": _bundle,
}


def _inside(document: Mapping[str, Any], member: str) -> Mapping[str, Any]:
    body = document[member]
    if not isinstance(body, Mapping):
        raise InvalidRequest(f"{member} has to be an object")
    return body


def _judged(
    kind: str, body: Mapping[str, Any], verify: Callable[[], object], said: str, notes: tuple[str, ...]
) -> Inspected:
    try:
        verify()
    except (RuntimeError, ValueError) as error:
        return _bad(kind, body, _code(kind, error), " ".join(str(error).split("\n")[0].split()))
    return Inspected(kind=kind, verdict="good", said=f"its signature verifies; {said}", document=body, notes=notes)


def _bad(kind: str, body: Mapping[str, Any], code: str, said: str) -> Inspected:
    return Inspected(kind=kind, verdict="bad", code=code, said=said, document=body)


def _code(kind: str, error: Exception) -> str:
    """The registry's code for the SDK's word: that has its own for lists and manifests."""
    word = str(getattr(error, "code", None) or "").upper()
    known = [code for code in (f"{_PREFIX[kind]}{word}", word) if code in REGISTRY_CODES]
    return known[0] if known else _OTHERWISE[kind]
