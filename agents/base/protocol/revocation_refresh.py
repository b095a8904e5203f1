"""Fetching signed revocation lists: when the service says so, and the Control Plane's every now and then."""

from __future__ import annotations

import asyncio
import random
import sys
from typing import Any

import aitp

from base.http.peer_client import MAX_ANSWER, PeerClient
from base.process.bootstrap import ControlPlaneConfig, RevocationConfig
from base.process.tasks import end_task
from base.protocol.control_plane import failure_of
from base.protocol.list_fetching import MAX_PEER_LIST, Fetched, ListFetcher
from base.protocol.manifests import fetch_manifest
from base.protocol.peers import PeerBook
from base.protocol.revocation import RevocationState
from base.refusals import Fault, PeerFailed

#: Seconds over which the agents of one run spread their first look, unless they serve nobody before it.
FIRST_LOOK = 1.0


class Refresher:
    """Has lists fetched and tells what came of it.

    A list is verified against an AID that was pinned beforehand: the peer's from the introductions, the Control Plane's
    from the bootstrap. One that does not verify changes nothing.
    """

    def __init__(
        self,
        config: RevocationConfig,
        cp: ControlPlaneConfig | None,
        peers: PeerBook,
        revocations: RevocationState,
        fetcher: ListFetcher,
        client: PeerClient,
    ) -> None:
        self._config = config
        self._cp = cp
        self._peers = peers
        self._revocations = revocations
        self._fetcher = fetcher
        self._client = client
        self._last_said: Fetched | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin polling, when there is a Control Plane whose signature can be checked."""
        if self._cp is not None and self._cp.aid is not None:
            self._task = asyncio.create_task(self._poll_forever(self._cp.url, self._cp.aid), name="revocations")

    async def close(self) -> None:
        if self._task is not None:
            await end_task(self._task)

    async def from_issuer(self, agent_id: str, jti: str | None) -> dict[str, Any]:
        """Pull the list of an introduced peer: ``{"revoked_count", "sees_jti", "cause"?}``. Raises ``peer_unknown``.

        It is where the peer's manifest says; a peer that does not say is asked where an agent's list usually is.
        """
        peer = self._peers.named(agent_id)
        try:
            advertised = (await fetch_manifest(self._client, peer, peer.address)).revocation_list
        except PeerFailed as failed:
            fetched = Fetched.failed(failure_of(failed))
            if failed.peer_code == "aid_mismatch":
                fetched = Fetched("revocation.verify_failed", {"cause": "issuer_mismatch", "issuer": peer.aid})
            return self._told(fetched, peer.manifest_url, peer.aid, jti)
        url = advertised or peer.base_url + aitp.REVOCATION_LIST_PATH
        return await self._asked(url, peer.aid, jti, MAX_PEER_LIST)

    async def from_control_plane(self, jti: str | None) -> dict[str, Any]:
        """The same with the Control Plane's. Raises 409 ``no_cp``; without its AID nothing is fetched."""
        if self._cp is None:
            raise Fault(409, "no_cp", "this agent was told of no Control Plane")
        url = self._cp.url + aitp.REVOCATION_LIST_PATH
        if self._cp.aid is None:
            self._fetcher.report(Fetched("revocation.verify_failed", {"cause": "issuer_unpinned"}), url)
            return {"revoked_count": 0, "sees_jti": None if jti is None else False, "cause": "issuer_unpinned"}
        return await self._asked(url, self._cp.aid, jti)

    async def _asked(self, url: str, issuer: str, jti: str | None, most: int = MAX_ANSWER) -> dict[str, Any]:
        return self._told(await self._fetcher.fetch(url, issuer, most=most), url, issuer, jti)

    def _told(self, fetched: Fetched, url: str, issuer: str, jti: str | None) -> dict[str, Any]:
        self._fetcher.report(fetched, url)
        known = self._revocations.list_of(issuer)
        outcome = {"revoked_count": len(known), "sees_jti": None if jti is None else jti.lower() in known}
        return outcome | ({"cause": fetched.cause} if fetched.cause is not None else {})

    async def _poll_forever(self, url: str, issuer: str) -> None:
        if self._config.fail_mode == "fail_open":
            await asyncio.sleep(random.uniform(0, FIRST_LOOK))  # noqa: S311 - spreading load, not a secret
        address = url + aitp.REVOCATION_LIST_PATH
        while True:
            try:
                self._report_news(await self._fetcher.fetch(address, issuer), address)
            except Exception as error:  # noqa: BLE001 - one bad round must not be the last one
                sys.stderr.write(f"revocation list: {type(error).__name__}\n")
            await asyncio.sleep(self._pause() * random.uniform(0.9, 1.1))  # noqa: S311 - the same

    def _pause(self) -> float:
        """An agent that refuses without a fresh list looks often enough not to refuse between two good answers."""
        if self._config.fail_mode == "fail_open":
            return self._config.poll_secs
        return min(self._config.poll_secs, self._config.max_staleness_secs / 2)

    def _report_news(self, fetched: Fetched, url: str) -> None:
        """A poll that finds what the one before it found is not worth an event."""
        if fetched != self._last_said:
            self._last_said = fetched
            self._fetcher.report(fetched, url)
