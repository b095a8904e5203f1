"""The foreign agent's state: its key, its policy, what it gave and holds, and whom it denies."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aitp_verifier.errors import AitpError
from aitp_verifier.jcs import canonicalize

from tests.interop.foreign import manifests, tokens
from tests.interop.foreign.envelopes import VERSION, Alter, Envelope, message
from tests.interop.foreign.keys import Key
from tests.interop.foreign.manifests import LIST_URI, Manifest
from tests.interop.foreign.tokens import Grant

#: The address of an agent that serves nothing, and so advertises no list either.
NOWHERE = "http://localhost:1"


@dataclass
class ForeignAgent:
    """Everything that does not depend on how messages travel. Seconds everywhere."""

    agent_id: str = "foreigner"
    key: Key = field(default_factory=Key)
    offered: list[str] = field(default_factory=lambda: ["far.look", "far.touch"])
    #: Whether what it grants may be delegated (RFC-AITP-0005 8.2).
    vouchers: bool = True
    #: How far its clock is ahead.
    ahead: int = 0
    #: What it asks of a peer that greets it; by default all that is offered.
    wants: list[str] | None = None
    #: What it grants at most; by default all that it offers.
    grants_only: list[str] | None = None
    #: Whom it knows. AIDs.
    trusted: set[str] = field(default_factory=set)
    base_url: str = NOWHERE
    endpoint: str = f"{NOWHERE}/"
    extensions: dict[str, Any] = field(default_factory=dict)
    #: Newest token by its issuer's AID.
    held: dict[str, Grant] = field(default_factory=dict)
    given: list[Grant] = field(default_factory=list)
    revoked: dict[str, int] = field(default_factory=dict)
    published: Manifest | None = None

    @property
    def name(self) -> str:
        return self.agent_id.title()

    @property
    def aid(self) -> str:
        return self.key.aid

    def now(self) -> int:
        return int(time.time()) + self.ahead

    def manifest(self, **changes: Any) -> Manifest:
        """The published manifest; with ``changes`` (None takes a member away) another, signed as well."""
        if self.published is None:
            self.publish()
        assert self.published is not None
        if not changes:
            return self.published
        body = {name: value for name, value in (self.published | changes).items() if value is not None}
        return manifests.signed(self.key, body)

    def publish(self, **changes: Any) -> Manifest:
        """Make a new manifest and publish it."""
        served = {LIST_URI: f"{self.base_url}/revoked"} if self.base_url != NOWHERE else {}
        extensions = served | self.extensions
        body = manifests.unsigned(self.key, self.name, self.endpoint, self.offered, self.now())
        body = {**body, "extensions": extensions, **changes}
        self.published = manifests.signed(self.key, {name: value for name, value in body.items() if value is not None})
        return self.published

    def wanted(self, peer: Manifest) -> list[str]:
        """What to ask of a peer."""
        return list(peer["offered_capabilities"]) if self.wants is None else self.wants

    def give(self, holder: str, requested: Sequence[str]) -> Grant:
        """A token for what was asked, is offered and the policy allows (RFC-AITP-0004 4.1). Raises ``AitpError``."""
        allowed = self.offered if self.grants_only is None else self.grants_only
        grants = [name for name in requested if name in self.offered and name in allowed]
        if not grants:
            raise AitpError("POLICY_VIOLATION", "nothing of it is to be had here")
        made = self.mint(holder, grants)
        self.given.append(made)
        return made

    def mint(self, holder: str, grants: list[str], **changes: Any) -> Grant:
        """A token of its own, with any claims."""
        until = int(self.manifest()["expires_at"])
        return tokens.grant(self.key, holder, grants, self.now(), until, voucher=self.vouchers, **changes)

    def delegate(self, owner: str, delegatee: str, scope: list[str], **changes: Any) -> str:
        """Hand on a part of what ``owner`` granted."""
        voucher = self.held[owner].voucher
        assert voucher is not None, "nothing that may be delegated"
        return tokens.delegation(self.key, voucher, delegatee, scope, **changes)

    def revoke(self, jti: str) -> None:
        self.revoked[jti] = self.now()

    def revocation_list(self, **changes: Any) -> dict[str, Any]:
        """The signed list of what it revoked (RFC-AITP-0008 1.5)."""
        entries = [{"jti": jti, "revoked_at": at} for jti, at in self.revoked.items()]
        now = self.now()
        body: dict[str, Any] = {"version": VERSION, "issuer": self.aid, "published_at": now, "expires_at": now + 300}
        body |= {"entries": entries} | changes
        return {"revocation_list": body, "signature": self.key.sign(canonicalize(body))}

    def message(self, kind: str, payload: dict[str, Any], alter: Alter | None = None) -> Envelope:
        """Any message of its own, signed."""
        return message(self.key, kind, payload, self.now(), alter)
