"""A peer's manifest as found at an address: fetched, verified, and the pinned peer's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

import aitp

from base.peer_client import PeerClient
from base.peers import Peer
from base.refusals import PeerFailed, protocol_errors


@dataclass(frozen=True, slots=True)
class Manifest:
    """``raw`` is the envelope as it came; ``endpoint`` its handshake endpoint; ``offered`` its capabilities."""

    raw: str
    endpoint: str
    offered: tuple[str, ...]

    @property
    def origin(self) -> str:
        """``scheme://host:port`` of the handshake endpoint, where the peer's other routes are too."""
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{parts.netloc}"


async def fetch_manifest(client: PeerClient, peer: Peer, url: str) -> Manifest:
    """The peer's manifest from ``url``. Raises PeerFailed: no answer, not verifiable, or another agent's."""
    answer = (await client.get(url)).expect_ok()
    raw = answer.text()
    with protocol_errors(answer.url):
        aitp.verify_manifest_json(raw)
        manifest = json.loads(raw)["manifest"]
        found = Manifest(raw, manifest["handshake_endpoint"], tuple(manifest["offered_capabilities"]))
    if manifest["aid"] != peer.aid:
        raise PeerFailed("protocol", "the manifest is another agent's", url=answer.url, peer_code="aid_mismatch")
    return found
