"""What another agent presents itself with: its manifest, its identity, and the members of its handshake messages.

The SDK verifies what they prove. Looked at here, before it does, is what it leaves alone or has one vague name for: the
members and their grammar (RFC-AITP-0001, section 7; RFC-AITP-0003, section 3.1), and that hint and identity name one
key (RFC-AITP-0004, section 5.1, step 6). All that is raised is ``handshake_refused`` with the registry's code.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from base.aids import public_key, same_key
from base.protocol.peers import is_http_url
from base.protocol.tokens import decode_claims, decode_segment
from base.refusals import Refusal

#: Seconds for which a manifest may be dated ahead: as much as a message.
AHEAD: Final = 300
MAX_DISPLAY_NAME: Final = 128
#: Members of a JOSE header that say where to find the key; none of them may, RFC-AITP-0002, section 2.
_KEY_HINTS: Final = frozenset({"jwk", "jku", "x5u", "x5c", "crit"})
_IDENTITY_TYPES: Final = frozenset({"pinned_key", "oidc", "spiffe"})

_Types = Mapping[str, type | tuple[type, ...]]
_MANIFEST: Final[_Types] = {
    "version": str,
    "aid": str,
    "identity_hint": dict,
    "handshake_endpoint": str,
    "accepted_trust_anchors": list,
    "offered_capabilities": list,
    "proof_of_possession": dict,
    "published_at": int,
    "expires_at": int,
    "signature": str,
}
_MANIFEST_MAY: Final[_Types] = {
    "display_name": str,
    "required_peer_capabilities": list,
    "accepted_identity_types": list,
    "accepted_signature_algorithms": list,
    "extensions": dict,
}
_HINT: Final[_Types] = {"type": str, "subject": str}
_HINT_MAY: Final[_Types] = {"issuer": str, "public_key": str}
_GREETING: Final[_Types] = {"identity": dict, "manifest": dict, "requested_grants": list, "pop_nonce": str}
#: The echo is in the acknowledgement alone; that it is there, the SDK sees to.
_GREETING_MAY: Final[_Types] = {"pop_nonce_echo": str, "extensions": dict}
#: Which of these go with which type, the SDK sees to.
_IDENTITY: Final[_Types] = {"type": str, "subject": str, "proof": str}
_IDENTITY_MAY: Final[_Types] = {"public_key": str, "issuer": str, "svid_type": str, "x5c": list, "extensions": dict}
_COMMIT: Final[_Types] = {"tct": str, "pop_signature": str, "pop_nonce_echo": str}
_COMMIT_MAY: Final[_Types] = {"grant_voucher": (str, type(None)), "extensions": dict}


def check_manifest(manifest: Any) -> dict[str, Any]:
    """The inner manifest, when it is well formed (``MANIFEST_INVALID``, ``UNKNOWN_FIELD``)."""
    checked = _members(manifest, _MANIFEST, _MANIFEST_MAY, "manifest", "MANIFEST_INVALID")
    hint = _members(checked["identity_hint"], _HINT, _HINT_MAY, "identity_hint", "MANIFEST_INVALID")
    if ("public_key" in hint) == (hint["type"] == "oidc") or ("issuer" in hint) != (hint["type"] == "oidc"):
        raise _refused("MANIFEST_INVALID", "the identity hint's members do not go with its type")
    if len(checked.get("display_name", "")) > MAX_DISPLAY_NAME:
        raise _refused("MANIFEST_INVALID", f"display_name is longer than {MAX_DISPLAY_NAME} characters")
    if not is_http_url(checked["handshake_endpoint"]):
        raise _refused("MANIFEST_INVALID", "handshake_endpoint is not an absolute http or https URL")
    if checked["published_at"] > time.time() + AHEAD:
        raise _refused("MANIFEST_INVALID", "published_at is in the future")
    return checked


def check_greeting(payload: Any, sender: str, receiver: str) -> dict[str, Any]:
    """The payload of a hello or of its acknowledgement, when it is one, sent to ``receiver``."""
    greeting = _members(payload, _GREETING, _GREETING_MAY, "payload", "INVALID_ENVELOPE")
    if not all(_is_grant(grant) for grant in greeting["requested_grants"]):
        raise _refused("INVALID_ENVELOPE", "requested_grants holds what is no name of a capability")
    manifest = check_manifest(greeting["manifest"])
    if not same_key(manifest["aid"], sender):
        raise _refused("INVALID_ENVELOPE", "the manifest is another agent's")
    _check_identity(greeting["identity"], manifest, receiver)
    return greeting


def check_commit(payload: Any) -> dict[str, Any]:
    """The payload of a commit or of its acknowledgement, when it is one. The voucher is optional."""
    return _members(payload, _COMMIT, _COMMIT_MAY, "payload", "INVALID_ENVELOPE")


def _check_identity(identity: dict[str, Any], manifest: dict[str, Any], receiver: str) -> None:
    kind = _members(identity, _IDENTITY, _IDENTITY_MAY, "identity", "IDENTITY_FAILED")["type"]
    if kind not in _IDENTITY_TYPES:
        raise _refused("IDENTITY_FAILED", "the type of the identity is not known")
    if kind == "oidc" and "public_key" in identity:
        raise _refused("IDENTITY_FAILED", "an OIDC identity has no public key of its own")
    hint = manifest["identity_hint"]
    if kind == "pinned_key" and not identity.get("public_key") == hint.get("public_key") == public_key(manifest["aid"]):
        raise _refused("IDENTITY_FAILED", "identity, hint and AID do not name one key")
    if kind == "oidc":
        _check_id_token(identity.get("proof"), receiver)


def _check_id_token(token: Any, receiver: str) -> None:
    try:
        header, claims = decode_segment(token, 0), decode_claims(token)
    except ValueError:
        raise _refused("IDENTITY_FAILED", "the ID token is none") from None
    if _KEY_HINTS & header.keys():
        raise _refused("IDENTITY_FAILED", "the ID token's header points to a key")
    if claims.get("aud") != receiver:
        raise _refused("IDENTITY_FAILED", "the ID token is not for this agent alone")


def _members(value: Any, must: _Types, may: _Types, what: str, code: str) -> dict[str, Any]:
    """``value``, an object with these members, each of its type. An unknown one counts if nothing else is wrong."""
    if not isinstance(value, dict):
        raise _refused(code, f"{what} is not an object")
    for name, kind in {**must, **may}.items():
        if name not in value:
            if name in must:
                raise _refused(code, f"{what}.{name} is missing")
        elif not isinstance(value[name], kind) or (kind is int and isinstance(value[name], bool)):
            raise _refused(code, f"{what}.{name} is of the wrong type")
    if value.keys() - must.keys() - may.keys():
        raise _refused("UNKNOWN_FIELD", f"{what} has a member that is not known")
    return value


def _is_grant(grant: object) -> bool:
    return isinstance(grant, str) and bool(grant) and not any(letter.isspace() for letter in grant)


def _refused(code: str, message: str) -> Refusal:
    return Refusal("handshake_refused", message, registry=code)
