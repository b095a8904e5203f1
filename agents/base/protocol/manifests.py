"""A peer's manifest: as found at an address (fetched, verified, the pinned peer's own), or as its hello carries it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aitp

from base.http.peer_client import PeerClient
from base.http.wire import parse_object
from base.protocol.identity import HELLO_PATH, MANIFEST_PATH
from base.protocol.peers import Peer
from base.refusals import PeerFailed, Refusal, malformed, protocol_errors, sdk_code

#: The extension that says where a list is (RFC-AITP-0008, section 1.4).
REVOCATION_LIST = "rfc-aitp-0008.revocation_list_uri"


@dataclass(frozen=True, slots=True)
class Manifest:
    """``raw`` is the envelope as it came; ``endpoint`` its handshake endpoint; ``offered`` its capabilities;
    ``revocation_list`` where its list is."""

    raw: str
    endpoint: str
    offered: tuple[str, ...]
    revocation_list: str | None = None

    @property
    def origin(self) -> str:
        """``scheme://host:port`` of the handshake endpoint, where the peer's other routes are too."""
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{parts.netloc}"


def revocation_list_of(manifest: Mapping[str, Any]) -> str | None:
    """Where a verified manifest says its issuer's list is; None when it does not, empty when that is no text."""
    extensions = manifest.get("extensions")
    address = extensions.get(REVOCATION_LIST) if isinstance(extensions, dict) else None
    return address if address is None or isinstance(address, str) else ""


def presented_by(aid: str, hello: str) -> Peer:
    """Who sends a hello unintroduced, by the manifest that it carries. The envelope itself is not verified here.

    Raises :class:`Refusal`: the manifest does not verify or is another agent's.
    """
    try:
        manifest = parse_object(hello)["payload"]["manifest"]
        aitp.verify_manifest_json(json.dumps({"manifest": manifest}))
        if manifest["aid"] != aid:
            raise Refusal("handshake_refused", "the manifest is another agent's", sdk_code="aid_mismatch")
        return Peer(aid, aid, manifest["handshake_endpoint"].removesuffix(HELLO_PATH) + MANIFEST_PATH)
    except RuntimeError as error:
        raise Refusal("handshake_refused", "its manifest does not verify", sdk_code=sdk_code(error)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise malformed("the hello carries no manifest") from error


async def fetch_manifest(client: PeerClient, peer: Peer, url: str) -> Manifest:
    """The peer's manifest from ``url``. Raises PeerFailed: no answer, not verifiable, or another agent's."""
    answer = (await client.get(url)).expect_ok()
    raw = answer.text()
    with protocol_errors(answer.url):
        aitp.verify_manifest_json(raw)
        manifest = json.loads(raw)["manifest"]
        offered = tuple(manifest["offered_capabilities"])
        found = Manifest(raw, manifest["handshake_endpoint"], offered, revocation_list_of(manifest))
    if manifest["aid"] != peer.aid:
        raise PeerFailed("protocol", "the manifest is another agent's", url=answer.url, peer_code="aid_mismatch")
    return found
