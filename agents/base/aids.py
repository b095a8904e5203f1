"""Agent identifiers (AIDs): RFC-AITP-0001, section 5.3, lets an Ed25519 key stand with its tag or without.

So one key has two AIDs. Who compares keys compares :func:`canonical`; what is signed or sent keeps its spelling.
"""

from __future__ import annotations

PREFIX = "aid:pubkey:"
_TAGGED = PREFIX + "ed25519:"


def canonical(aid: str) -> str:
    """The one spelling under which this project keeps an AID: without the tag that says nothing new."""
    return PREFIX + aid[len(_TAGGED) :] if aid.startswith(_TAGGED) else aid


def same_key(one: object, other: str) -> bool:
    """Whether two AIDs are the same key's. What is no text is nobody's."""
    return isinstance(one, str) and canonical(one) == canonical(other)


def public_key(aid: str) -> str:
    """The key in an AID, as the base64url text that it is there."""
    return aid.rpartition(":")[2]
