"""TrustOrchestrator: the one actor that answers "where is each peer". What fails falls back to static."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp

from aitp_playground.actors import Actor
from aitp_playground.trust.did_web import DidUnresolvable, resolve_did_web
from aitp_playground.trust.messages import PeerQuery, ResolvePeers, TrustMessage

Found = Mapping[str, Any]


class TrustOrchestrator(Actor[TrustMessage]):
    """Looks peers up in child tasks, so that a slow look-up of one run holds up no other run."""

    def __init__(self, http: aiohttp.ClientSession, insecure_hosts: frozenset[str] = frozenset()) -> None:
        self._http = http
        self._insecure_hosts = insecure_hosts

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
                return {**static(query, "static_fallback"), "reason": "did_unresolvable", "tried": str(failure)}
        if discovery == "cp_registry" and query.org == "external":
            return {**static(query, "static_fallback"), "reason": "cp_disabled"}
        return static(query)


def static(query: PeerQuery, source: str = "static") -> dict[str, Any]:
    """The peer at the address it was launched on."""
    return {"manifest_url": query.manifest_url, "source": source, "aid": query.aid}
