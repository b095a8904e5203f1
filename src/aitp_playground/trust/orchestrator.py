"""TrustOrchestrator: the one actor that answers "where is each peer". What fails falls back to static."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from aitp_playground.actors import Actor
from aitp_playground.cp_client.client import CpClient
from aitp_playground.cp_client.reasons import Outcome
from aitp_playground.trust.cp_registry import FAILED, MAX_CANDIDATES, first_fit
from aitp_playground.trust.did_web import DidUnresolvable, resolve_did_web
from aitp_playground.trust.messages import PeerQuery, ResolvePeers, TrustMessage

Found = Mapping[str, Any]
Rows = list[dict[str, Any]]

#: Seconds for which an answer of the registry serves look-ups that come right after it.
REMEMBERED = 0.5


class TrustOrchestrator(Actor[TrustMessage]):
    """Looks peers up in child tasks, so that a slow look-up of one run holds up no other run.

    Simultaneous look-ups of one capability share one request to the registry.
    """

    def __init__(self, http: aiohttp.ClientSession, cp: CpClient, insecure_hosts: frozenset[str] = frozenset()) -> None:
        self._http = http
        self._cp = cp
        self._insecure_hosts = insecure_hosts
        self._asking: dict[str, asyncio.Task[Outcome[Rows]]] = {}
        self._answered: dict[str, tuple[float, Outcome[Rows]]] = {}

    async def on_message(self, message: TrustMessage) -> Any:
        if message.discovery == "static":
            return {query.agent_id: static(query) for query in message.queries}
        return self.tasks.spawn(self._resolve(message), name="resolve-peers")

    async def _resolve(self, message: ResolvePeers) -> Mapping[str, Found]:
        found = await asyncio.gather(*(self._look_up(message.discovery, query) for query in message.queries))
        return {query.agent_id: peer for query, peer in zip(message.queries, found, strict=True)}

    async def _look_up(self, discovery: str, query: PeerQuery) -> Found:
        if discovery == "did_web" and query.did_web_host is not None:
            try:
                return await resolve_did_web(self._http, query, self._insecure_hosts)
            except DidUnresolvable as failure:
                return fallback(query, "did_unresolvable", str(failure))
        if discovery == "cp_registry" and query.org == "external":
            return await self._registered(query)
        return static(query)

    # -- the registry --------------------------------------------------------------------------------------------------

    async def _registered(self, query: PeerQuery) -> Found:
        if not self._cp.enabled:
            return fallback(query, "cp_disabled")
        if query.capability is None:
            return fallback(query, "no_match")
        outcome = await self._offered(query.capability)
        if outcome.reason is not None:
            return fallback(query, FAILED + outcome.reason)
        if not outcome.value:
            return fallback(query, "no_match")
        found, tried = await first_fit(self._http, outcome.value, query.capability, query.greeted_as)
        if found is None:
            return fallback(query, _why_none(tried), tried)
        return {**found, "source": "cp_registry"} | ({"tried": tried} if tried else {})

    async def _offered(self, capability: str) -> Outcome[Rows]:
        """What the registry lists; one request for all who ask at the same time or right after."""
        at, outcome = self._answered.get(capability, (0.0, None))
        if outcome is not None and time.monotonic() - at < REMEMBERED:
            return outcome
        asking = self._asking.get(capability)
        if asking is None:
            asking = self.tasks.spawn(self._ask(capability), name=f"registry:{capability}")
            self._asking[capability] = asking
            asking.add_done_callback(lambda _: self._asking.pop(capability, None))
        # Shielded: who stops waiting does not stop the others.
        return await asyncio.shield(asking)

    async def _ask(self, capability: str) -> Outcome[Rows]:
        outcome = await self._cp.discover_by_capability.outcome(capability, limit=MAX_CANDIDATES)
        self._answered = {
            name: kept for name, kept in self._answered.items() if time.monotonic() - kept[0] < REMEMBERED
        }
        self._answered[capability] = (time.monotonic(), outcome)
        return outcome


def static(query: PeerQuery, source: str = "static") -> dict[str, Any]:
    """The peer at the address it was launched on."""
    return {"manifest_url": query.manifest_url, "source": source, "aid": query.aid}


def fallback(query: PeerQuery, reason: str, tried: Any = None) -> dict[str, Any]:
    """The same, because what was asked for did not work out; ``tried`` says what was tried."""
    return {**static(query, "static_fallback"), "reason": reason} | ({"tried": tried} if tried else {})


def _why_none(tried: Sequence[Mapping[str, str]]) -> str:
    """One reason for all: the most telling of what was found; dead ones only when there was nothing else."""
    reasons = [entry["reason"] for entry in tried]
    return next((reason for reason in reasons if reason != "none_alive"), "none_alive")
