"""Session bundles (RFC-AITP-0010, a draft): their form, and the tokens in them.

Whether its coordinator signed a bundle is left open: what it verifies against is the coordinator's manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from aitp_playground.cli.inspecting.claims import TCT, is_aid, is_text, is_whole
from aitp_playground.cli.inspecting.findings import Inspected
from aitp_playground.cli.inspecting.tokens import VERSION, inspect_inner

_INVALID: Final = "SESSION_BUNDLE_INVALID"
_TCT_INVALID: Final = "BUNDLE_PARTICIPANT_TCT_INVALID"
_ROW: Final = frozenset({"aid", "tct"})


def inspect_bundle(document: Mapping[str, Any], body: Mapping[str, Any], now: float) -> Inspected:
    """What is known of ``{"session_bundle": body}`` at ``now`` (Unix seconds) without its coordinator's manifest."""
    rows = body.get("participants")
    inner = {
        f"participant {number}": inspect_inner(token, now, _TCT_INVALID)
        for number, row in enumerate(rows if isinstance(rows, list) else (), 1)
        if isinstance(row, Mapping) and isinstance(token := row.get("tct"), str)
    }
    for code, said in _defects(document, body, inner, now):
        return Inspected(kind="session bundle", verdict="bad", code=code, said=said, document=document, inner=inner)
    said = "it verifies against its coordinator's manifest and revocation list, which are not here"
    return Inspected(kind="session bundle", verdict="unknown", said=said, document=document, inner=inner)


def _defects(
    document: Mapping[str, Any], body: Mapping[str, Any], inner: Mapping[str, Inspected], now: float
) -> Iterator[tuple[str, str]]:
    """``(the draft's code, a sentence)`` in its order, the first of which counts."""
    for said in _wrong_members(document, body):
        yield _INVALID, said
        return
    beyond = [body.keys() - _MEMBERS.keys() - {"extensions"}, *(row.keys() - _ROW for row in body["participants"])]
    if unknown := sorted(set().union(*beyond)):
        yield "UNKNOWN_FIELD", f"the standard knows no {', '.join(unknown)[:200]}"
    if body["version"] != VERSION:
        yield "BUNDLE_VERSION_MISMATCH", f"it is of version {body['version'][:60]!r}, and {VERSION} is spoken"
    if body["expires_at"] <= now:
        yield "BUNDLE_EXPIRED", "it is over"
    if not inner:
        yield "BUNDLE_EMPTY_PARTICIPANTS", "it has no participants"
    for (name, token), row in zip(inner.items(), body["participants"], strict=True):
        if token.verdict != "good":
            yield _TCT_INVALID, f"the token of {name} does not hold: {token.said}"
        elif token.header is None or token.header["typ"] != TCT:
            yield _TCT_INVALID, f"the token of {name} is no TCT"
        elif token.document["iss"] != body["coordinator"]:
            yield "BUNDLE_COORDINATOR_ISSUER_MISMATCH", f"the token of {name} is not of the coordinator"
        elif token.document["aud"] != row["aid"]:
            yield "BUNDLE_AUDIENCE_MISMATCH", f"the token of {name} is for somebody else"
    if body["expires_at"] != min(token.document["exp"] for token in inner.values()):
        yield "BUNDLE_EXPIRY_WINDOW_INVARIANT", "it does not end when the first of its tokens does"


def _wrong_members(document: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[str]:
    if beside := sorted(document.keys() - {"session_bundle"}):
        yield f"beside session_bundle it has {', '.join(beside)[:200]}"
    if missing := sorted(_MEMBERS.keys() - body.keys()):
        yield f"it lacks {', '.join(missing)}"
    for name, (wanted, fits) in _MEMBERS.items():
        if not fits(body[name]):
            yield f"its {name} is not {wanted}"
    if not isinstance(body.get("extensions", {}), Mapping):
        yield "its extensions is not an object"


def _are_rows(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(row, dict) and all(is_text(row.get(name)) for name in _ROW) for row in value
    )


#: Each member of the body that there has to be, what it is, and whether a value is that.
_MEMBERS: Final[Mapping[str, tuple[str, Callable[[object], bool]]]] = {
    "version": ("text", is_text),
    "session_id": ("text", is_text),
    "coordinator": ("an AID", is_aid),
    "issued_at": ("a time in whole seconds", is_whole),
    "expires_at": ("a time in whole seconds", is_whole),
    "participants": ("a list of objects with aid and tct, both text", _are_rows),
    "signature": ("text", is_text),
}
