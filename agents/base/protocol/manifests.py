"""A peer's manifest: as found at an address (fetched, verified, the pinned peer's own), or as its hello carries it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

import aitp

from base.aids import same_key
from base.http.bodies import structure
from base.http.peer_client import EXCHANGE_TIMEOUT, PeerClient
from base.protocol.envelopes import MAX_PARTS, Envelope
from base.protocol.identity import MANIFEST_PATH
from base.protocol.peers import Peer
from base.protocol.presented import check_manifest
from base.refusals import Fault, PeerFailed, Refusal, first_line, malformed, sdk_code
from base.registry_codes import registered

#: Under which paths this project's own agents take handshakes; what stands before is where their other routes are.
_HANDSHAKE_PATHS = ("/aitp/handshake/hello", "/aitp/handshake/", "/aitp/handshake")
#: What a manifest accepts that does not say so: RFC-AITP-0003, section 3.2.
_DEFAULT_IDENTITY_TYPES = ("oidc",)

#: The extension that says where a list is (RFC-AITP-0008, section 1.4).
REVOCATION_LIST = "rfc-aitp-0008.revocation_list_uri"


@dataclass(frozen=True, slots=True)
class Manifest:
    """``raw`` is the envelope as it came; ``endpoint`` its handshake endpoint; ``offered`` its capabilities.

    ``identity_types`` and ``suites`` are those that it accepts; no suites named means any. ``revocation_list`` says
    where its list is; ``identity_type`` by what its agent is known. Times in Unix seconds.
    """

    raw: str
    endpoint: str
    offered: tuple[str, ...]
    published_at: int
    identity_types: tuple[str, ...]
    suites: tuple[str, ...]
    revocation_list: str | None = None
    identity_type: str = "pinned_key"

    @property
    def origin(self) -> str:
        """``scheme://host:port`` of the handshake endpoint, where the peer's other routes are too."""
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{parts.netloc}"

    def exchange_urls(self) -> tuple[str, str]:
        """Where the hello goes, and where the commit.

        The standard knows one URL for both (RFC-AITP-0001, section 8). The HTTP binding joins ``hello`` and ``commit``
        to one that ends in a slash. Some name the former, and mean the latter beside it.
        """
        path = urlsplit(self.endpoint).path
        if path.endswith("/"):
            return urljoin(self.endpoint, "hello"), urljoin(self.endpoint, "commit")
        if path.endswith("/hello"):
            return self.endpoint, urljoin(self.endpoint, "commit")
        return self.endpoint, self.endpoint

    def unwilling(self, identity_type: str, suite: Literal["ed25519", "p256"]) -> str | None:
        """The registry's code for why an agent of that kind need not greet this one; None when it may."""
        if identity_type not in self.identity_types:
            return "INCOMPATIBLE_IDENTITY_TYPE"
        names = {"ed25519": {"ed25519", "eddsa"}, "p256": {"p256", "es256", "p-256"}}[suite]
        return "TOKEN_ALG_MISMATCH" if self.suites and not names & {name.lower() for name in self.suites} else None

    def or_newer(self, inline: dict[str, Any]) -> Manifest:
        """This one, or the one inside a message, whose signature was checked, if that was published later.

        RFC-AITP-0003, section 4.3: an old manifest must not bring back what a newer one took away.
        """
        if inline["published_at"] < self.published_at:
            return self
        return replace(self, offered=tuple(inline["offered_capabilities"]), published_at=inline["published_at"])


def revocation_list_of(manifest: Mapping[str, Any]) -> str | None:
    """Where a verified manifest says its issuer's list is; None when it does not, empty when that is no text."""
    extensions = manifest.get("extensions")
    address = extensions.get(REVOCATION_LIST) if isinstance(extensions, dict) else None
    return address if address is None or isinstance(address, str) else ""


def presented_by(hello: Envelope) -> Peer:
    """Who sends a hello unintroduced, by the manifest that it carries; the envelope's signature was checked.

    Raises :class:`Refusal`: the manifest does not verify or is another agent's.
    """
    manifest = check_manifest(hello.payload.get("manifest"))
    raw = json.dumps({"manifest": manifest})
    try:
        aitp.verify_manifest_json(raw)
    except RuntimeError as error:
        raise Refusal("handshake_refused", "its manifest does not verify", sdk_code=sdk_code(error)) from error
    except ValueError as error:
        raise malformed("the hello carries no manifest") from error
    if not same_key(manifest["aid"], hello.sender):
        raise Refusal("handshake_refused", "the manifest is another agent's", sdk_code="aid_mismatch")
    return Peer(hello.sender, hello.sender, base_of(manifest["handshake_endpoint"]) + MANIFEST_PATH, raw)


def base_of(endpoint: str) -> str:
    """Where an agent's routes are, by its handshake endpoint."""
    for path in _HANDSHAKE_PATHS:
        if endpoint.endswith(path):
            return endpoint.removesuffix(path)
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc}"


async def fetch_manifest(client: PeerClient, peer: Peer, url: str, timeout: float = EXCHANGE_TIMEOUT) -> Manifest:
    """The peer's manifest from ``url``. Raises PeerFailed: no answer, not verifiable, or another agent's."""
    answer = (await client.get(url, timeout=timeout)).expect_json()
    raw = answer.text()
    if structure(raw) > MAX_PARTS:
        message = f"the manifest has more than {MAX_PARTS} parts"
        raise PeerFailed("protocol", message, url=answer.url, peer_code="too_large")
    try:
        aitp.verify_manifest_json(raw)
        manifest = json.loads(raw)["manifest"]
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        code = registered(sdk_code(error)) or "MANIFEST_INVALID"
        raise PeerFailed("protocol", first_line(error), url=answer.url, peer_code=code) from error
    if not same_key(manifest["aid"], peer.aid):
        raise PeerFailed("protocol", "the manifest is another agent's", url=answer.url, peer_code="aid_mismatch")
    try:
        check_manifest(manifest)
    except Fault as fault:
        raise PeerFailed("protocol", str(fault), url=answer.url, peer_code=fault.registry_code) from fault
    return Manifest(
        raw,
        manifest["handshake_endpoint"],
        tuple(manifest["offered_capabilities"]),
        manifest["published_at"],
        tuple(manifest.get("accepted_identity_types", _DEFAULT_IDENTITY_TYPES)),
        tuple(str(name) for name in manifest.get("accepted_signature_algorithms", ())),
        revocation_list_of(manifest),
        manifest["identity_hint"]["type"],
    )
