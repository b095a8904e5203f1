"""Trust anchors and pinned keys."""

from __future__ import annotations

from collections.abc import Mapping

from aitp_playground.cp_client import arguments
from aitp_playground.cp_client.answers import Row, record
from aitp_playground.cp_client.calls.requests import Requests, identified, no_rows, nothing
from aitp_playground.cp_client.degrading import degrades
from aitp_playground.cp_client.reasons import Degraded, unfit
from aitp_playground.cp_client.transport import segment


class AnchorCalls(Requests):
    """Whom a namespace believes."""

    @degrades(no_rows)
    async def list_trust_anchors(self, namespace: str | None = None) -> list[Row]:
        """Anchors of a namespace, or of all."""
        return await self._rows("/api/trust-anchors", "trustAnchors", arguments.query(namespace=namespace))

    @degrades(no_rows)
    async def list_pinned_keys(self, namespace: str | None = None) -> list[Row]:
        """Pins of a namespace, or of all; expired ones are listed too."""
        return await self._rows("/api/pinned-keys", "pinnedKeys", arguments.query(namespace=namespace))

    @degrades(nothing)
    async def upsert_trust_anchor(
        self,
        issuer_url: str,
        *,
        namespace: str = "default",
        jwks_url: str | None = None,
        label: str | None = None,
    ) -> Row | None:
        """The anchor of ``issuer_url`` (compared as text) with what was given here.

        A second POST would end in a bare 500 instead of a conflict. So it is looked up first, and after a conflict or a
        5xx once more: somebody may have been quicker.
        """
        if not issuer_url.startswith(("http://", "https://")):
            raise unfit("an issuer URL begins with http:// or https://")
        wanted = {"jwksUrl": jwks_url, "label": arguments.labelled(label)}
        found = await self._anchor(namespace, issuer_url)
        if found is None:
            body = arguments.body(issuerUrl=issuer_url, namespace=namespace, **wanted)
            try:
                return identified((await self._send("POST", "/api/trust-anchors", body=body)).body)
            except Degraded as failure:
                if failure.status is None or (failure.status != 409 and failure.status < 500):
                    raise
                found = await self._anchor(namespace, issuer_url)
                if found is None:
                    raise
        return await self._brought_up_to(found, wanted)

    @degrades(nothing)
    async def upsert_pinned_key(
        self,
        aid: str,
        pubkey: str,
        *,
        namespace: str = "default",
        label: str | None = None,
        expires_at: str | float | None = None,
    ) -> Row | None:
        """Pin an Ed25519 key that is the AID's own; P-256 keys are refused. What is not given is cleared."""
        arguments.pinnable(aid, pubkey)
        expiry = arguments.when(expires_at)
        body = arguments.body(
            aid=aid, pubkey=pubkey, namespace=namespace, label=arguments.labelled(label), expiresAt=expiry
        )
        row = record((await self._send("POST", "/api/pinned-keys", body=body)).body)
        if (row.get("aid"), row.get("pubkey")) != (aid, pubkey):
            raise Degraded("bad_shape", "the answer shows another pin")
        return row

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _anchor(self, namespace: str, issuer_url: str) -> Row | None:
        anchors = await self._rows("/api/trust-anchors", "trustAnchors", {"namespace": namespace})
        return next(iter(arguments.matching(anchors, namespace=namespace, issuerUrl=issuer_url)), None)

    async def _brought_up_to(self, anchor: Row, wanted: Mapping[str, str | None]) -> Row:
        changes = {name: value for name, value in wanted.items() if value is not None and anchor.get(name) != value}
        if not changes:
            return anchor
        path = f"/api/trust-anchors/{segment(str(anchor.get('id', '')))}"
        answer = await self._send("PATCH", path, body=arguments.body(**changes))
        return {**anchor, **identified(answer.body)}
