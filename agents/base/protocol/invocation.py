"""Calling a peer's capability: with the newest token held from it and a proof of possession, or with nothing."""

from __future__ import annotations

import json
from typing import Any, Literal
from urllib.parse import quote

from base.http.peer_client import CALL_TIMEOUT, MAX_ANSWER, Answer, PeerClient
from base.http.step_mark import to_pass_on
from base.protocol.bearing import Bearer
from base.protocol.manifests import fetch_manifest
from base.protocol.peers import PeerBook


class Invoker:
    """The caller's side of a capability call."""

    def __init__(self, peers: PeerBook, bearer: Bearer, client: PeerClient) -> None:
        self._peers = peers
        self._bearer = bearer
        self._client = client

    async def invoke(
        self,
        agent_id: str,
        capability: str,
        task: dict[str, Any],
        *,
        present: Literal["held", "none"],
        manifest_url: str | None = None,
    ) -> dict[str, Any]:
        """``{"status_code", "body", "presented_jti"?}``, whatever the status.

        With a ``manifest_url`` the peer is looked up there anew: fetched, verified, its AID still the pinned one.
        Raises 409 ``no_tct_held``, and :class:`PeerFailed` when there was no HTTP answer or one that is not JSON.
        """
        peer = self._peers.named(agent_id)
        base = peer.base_url
        if manifest_url is not None:
            base = (await fetch_manifest(self._client, peer, manifest_url)).origin
        if present == "none":
            return _outcome(await self._call(base, capability, task, {}))
        token = self._bearer.newest(peer)
        answer = await self._bearer.ask(base, token)
        if 200 <= answer.status < 300:
            self._peers.require_still(peer)
            answer = await self._call(base, capability, task, self._bearer.headers(answer, token, peer))
        return _outcome(answer) | {"presented_jti": token.jti}

    async def _call(self, base: str, capability: str, task: dict[str, Any], headers: dict[str, str]) -> Answer:
        url = f"{base}/capabilities/{quote(capability, safe='')}"
        return await self._client.post(
            url, json.dumps(task), {**headers, **to_pass_on()}, timeout=CALL_TIMEOUT, limit=MAX_ANSWER
        )


def _outcome(answer: Answer) -> dict[str, Any]:
    return {"status_code": answer.status, "body": answer.json()}
