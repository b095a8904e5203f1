"""Fetching signed revocation lists: when the service says so, and the Control Plane's every now and then."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import defaultdict
from typing import Any

import aitp

from base.http.peer_client import MAX_ANSWER, PeerClient
from base.process.bootstrap import ControlPlaneConfig, RevocationConfig
from base.process.tasks import end_task
from base.protocol.control_plane import EXCHANGE_TIMEOUT, failure_of, refusal_of
from base.protocol.peers import PeerBook
from base.protocol.revocation import RevocationState
from base.protocol.revocation_lists import ListRejectedError
from base.refusals import Fault, PeerFailed
from base.telemetry import Telemetry

#: Seconds over which the agents of one run spread their first look, unless they serve nobody before it.
FIRST_LOOK = 1.0


class Refresher:
    """Pulls lists into the :class:`RevocationState` and tells the log what came of it.

    A list is verified against an AID that was pinned beforehand: the peer's from the introductions, the Control Plane's
    from the bootstrap. One that does not verify changes nothing.
    """

    def __init__(
        self,
        config: RevocationConfig,
        cp: ControlPlaneConfig | None,
        peers: PeerBook,
        revocations: RevocationState,
        client: PeerClient,
        telemetry: Telemetry,
    ) -> None:
        self._config = config
        self._cp = cp
        self._peers = peers
        self._revocations = revocations
        self._client = client
        self._telemetry = telemetry
        # Two fetches of one list, overtaking each other, would look like a list rolled back.
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._last_said: tuple[Any, ...] = ()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin polling, when there is a Control Plane whose signature can be checked."""
        if self._cp is not None and self._cp.aid is not None:
            self._task = asyncio.create_task(self._poll_forever(self._cp.url, self._cp.aid), name="revocations")

    async def close(self) -> None:
        if self._task is not None:
            await end_task(self._task)

    async def from_issuer(self, agent_id: str, jti: str | None) -> dict[str, Any]:
        """Pull the list of an introduced peer: ``{"revoked_count", "sees_jti", "cause"?}``. Raises ``peer_unknown``."""
        peer = self._peers.named(agent_id)
        return await self._asked(peer.base_url + aitp.REVOCATION_LIST_PATH, peer.aid, jti)

    async def from_control_plane(self, jti: str | None) -> dict[str, Any]:
        """The same with the Control Plane's. Raises 409 ``no_cp``; without its AID nothing is fetched."""
        if self._cp is None:
            raise Fault(409, "no_cp", "this agent was told of no Control Plane")
        url = self._cp.url + aitp.REVOCATION_LIST_PATH
        if self._cp.aid is None:
            self._report("revocation.verify_failed", url, cause="issuer_unpinned")
            return {"revoked_count": 0, "sees_jti": None if jti is None else False, "cause": "issuer_unpinned"}
        return await self._asked(url, self._cp.aid, jti)

    async def _asked(self, url: str, issuer: str, jti: str | None) -> dict[str, Any]:
        event, fields = await self._pull(url, issuer)
        self._report(event, url, **fields)
        known = self._revocations.list_of(issuer)
        outcome = {"revoked_count": len(known), "sees_jti": None if jti is None else jti.lower() in known}
        return outcome | ({"cause": fields["cause"]} if "cause" in fields else {})

    async def _pull(self, url: str, issuer: str) -> tuple[str, dict[str, Any]]:
        """Fetch and take in one list: the event that tells of it, and its fields."""
        async with self._turns[issuer]:
            try:
                answer = await self._client.get(url, timeout=EXCHANGE_TIMEOUT, limit=MAX_ANSWER)
                if reason := refusal_of(answer, 200):
                    return "revocation.refresh_failed", {"cause": reason, "status": answer.status}
                raw = answer.text()
            except PeerFailed as failed:
                return "revocation.refresh_failed", {"cause": failure_of(failed)}
            try:
                self._revocations.take_list(raw, issuer)
            except ListRejectedError as rejected:
                lost = self._revocations.list_of(issuer).lost
                return "revocation.verify_failed", {"cause": rejected.cause, "issuer": issuer, "lost": lost or None}
            return "revocation.list_fetched", {"count": len(self._revocations.list_of(issuer)), "issuer": issuer}

    async def _poll_forever(self, url: str, issuer: str) -> None:
        if self._config.fail_mode == "soft_fail":
            await asyncio.sleep(random.uniform(0, FIRST_LOOK))  # noqa: S311 - spreading load, not a secret
        while True:
            try:
                event, fields = await self._pull(url + aitp.REVOCATION_LIST_PATH, issuer)
                self._report_news(event, url + aitp.REVOCATION_LIST_PATH, fields)
            except Exception as error:  # noqa: BLE001 - one bad round must not be the last one
                sys.stderr.write(f"revocation list: {type(error).__name__}\n")
            await asyncio.sleep(self._pause() * random.uniform(0.9, 1.1))  # noqa: S311 - the same

    def _pause(self) -> float:
        """An agent that fails closed looks often enough not to refuse between two good answers."""
        if self._config.fail_mode == "fail_closed":
            return min(self._config.poll_secs, self._config.max_staleness_secs / 2)
        return self._config.poll_secs

    def _report_news(self, event: str, url: str, fields: dict[str, Any]) -> None:
        """A poll that finds what the one before it found is not worth an event."""
        said = (event, *sorted(fields.items(), key=str))
        if said != self._last_said:
            self._last_said = said
            self._report(event, url, **fields)

    def _report(self, event: str, url: str, **fields: Any) -> None:
        error = None if event == "revocation.list_fetched" else f"no use could be made of the list: {fields['cause']}"
        present = {name: value for name, value in fields.items() if value is not None}
        self._telemetry.emit(event, source_url=url, error=error, **present)
