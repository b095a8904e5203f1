"""Who may have delegated what is redeemed here, and the manifest by which its signature is verified.

It is looked up where the service said that the delegator is, or is the one with which the delegator once came: this
agent goes nowhere that a stranger named.
"""

from __future__ import annotations

import aitp

from base.process.tasks import SharedTasks, outcome
from base.protocol.issuer_lists import LOOK_SECS
from base.protocol.manifests import Manifest, fetch_manifest
from base.protocol.peers import Peer
from base.protocol.shared import Shared
from base.refusals import PeerFailed, RedemptionRefusal, Refusal, sdk_code


class Delegators:
    """Delegators and their manifests. All that redeem what one agent delegated share one look at its manifest."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._looks: SharedTasks[Manifest] = SharedTasks("delegator-manifest")

    async def close(self) -> None:
        await self._looks.close()

    def find(self, aid: str) -> Peer:
        """Whoever was introduced, or came as a guest. Raises ``peer_unknown``."""
        try:
            return self._shared.peers.greeter(aid)
        except Refusal as refusal:
            raise _unknown(str(refusal)) from refusal

    async def manifest_of(self, delegator: Peer) -> str:
        """Its manifest, verified, as it came. Raises ``peer_unknown``, and :class:`PeerFailed` that no peer is told
        more of: where another agent is found is not the delegatee's to know."""
        if self._shared.peers.introduced(delegator.aid) and delegator.manifest_url:
            return await self._looked_up(delegator)
        if not delegator.manifest:
            raise _unknown("the delegator has to shake hands here first")
        try:
            aitp.verify_manifest_json(delegator.manifest)
        except (ValueError, RuntimeError) as error:
            message = "the delegator's manifest is no longer good; it has to shake hands again"
            raise _unknown(message, sdk_code(error)) from error
        return delegator.manifest

    async def _looked_up(self, delegator: Peer) -> str:
        client, url = self._shared.client, delegator.address
        look = self._looks.join(f"{delegator.key} {url}", lambda: fetch_manifest(client, delegator, url, LOOK_SECS))
        try:
            return (await outcome(look)).raw
        except PeerFailed as failed:
            again = failed.again()
            again.confidential = True
            raise again from failed


def _unknown(message: str, code: str | None = None) -> RedemptionRefusal:
    return RedemptionRefusal("peer_unknown", message, sdk_code=code, registry="KEY_RESOLUTION_FAILED")
