"""CpClient: every use the service makes of the Control Plane, none of them load-bearing.

``await client.fetch_tcts(issuer=aid)`` gives the value, or the fallback after any failure; it never raises.
``await client.fetch_tcts.outcome(issuer=aid)`` gives an :class:`~aitp_playground.cp_client.reasons.Outcome`: the same
value with the reason class beside it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import aiohttp

from aitp_playground.config import Settings
from aitp_playground.cp_client import arguments
from aitp_playground.cp_client.answers import Row, record, rows
from aitp_playground.cp_client.batches import Batch, Ingested, fate_of, taken
from aitp_playground.cp_client.breaker import Breaker, State
from aitp_playground.cp_client.degrading import Degrading, Observer, degrades
from aitp_playground.cp_client.issuer_pin import IssuerPin, is_aid
from aitp_playground.cp_client.reasons import Degraded, unfit
from aitp_playground.cp_client.revocation_lists import RevocationLists
from aitp_playground.cp_client.transport import Transport, segment

_LONGEST_REASON: Final = 500
_LONGEST_SECRET: Final = 255
_REVOCATION_LIST: Final = "/.well-known/aitp-revocation-list"


def _no_rows(_: Degraded | None) -> list[Row]:
    return []


def _no_record(_: Degraded | None) -> Row:
    return {}


def _none(_: Degraded | None) -> Row | None:
    return None


def _false(_: Degraded | None) -> bool:
    return False


def _when_disabled(failure: Degraded | None) -> bool:
    """Nothing can be left behind at a Control Plane that there is not."""
    return failure is None


class CpClient(Degrading):
    """The Control Plane behind ``CP_BASE_URL``; with none configured every call yields its fallback at once.

    A call costs at most ``CP_TIMEOUT_MS``, however many requests it takes. ``on_state`` is told the breaker's states,
    ``on_outcome`` every call's end. Raises ``ConfigurationError`` for CP settings that cannot work.
    """

    def __init__(
        self,
        settings: Settings,
        http: aiohttp.ClientSession,
        *,
        on_state: Callable[[State], None] | None = None,
        on_outcome: Observer | None = None,
        breaker: Callable[..., Breaker] = Breaker,
    ) -> None:
        super().__init__(
            Transport(http, settings.cp_base_url, settings.cp_api_key.get_secret_value()),
            timeout=settings.cp_timeout_ms / 1000,
            on_state=on_state,
            on_outcome=on_outcome,
            breaker=breaker,
        )
        self._pin = IssuerPin(self._transport.base_url, settings.cp_aid, settings.state_dir)
        self._lists = RevocationLists()

    # -- registry -----------------------------------------------------------------------------------------------------

    @degrades(_no_rows)
    async def discover_by_capability(
        self, capability: str, *, include_manifest: bool = False, limit: int | None = None
    ) -> list[Row]:
        """Who claims to offer ``capability``, first registered first. Some may be dead, some forged.

        ``include_manifest`` adds ``manifestJson``, the signed text by which to tell them.
        """
        if not capability:
            raise unfit("an empty capability would list every agent")
        return await self._rows(
            "/api/registry/agents",
            "agents",
            arguments.query(capability=capability, include_manifest=include_manifest, limit=limit),
            public=True,
        )

    @degrades(_when_disabled)
    async def deregister_agent(self, aid: str) -> bool:
        """True when the registry offers the agent to nobody any more, or never did."""
        return await self._removed(f"/api/registry/agents/{segment(aid)}")

    # -- events -------------------------------------------------------------------------------------------------------

    @degrades(fate_of)
    async def ingest_events(
        self, events: Sequence[Mapping[str, Any]] | Batch, *, idempotency_key: str | None = None
    ) -> Ingested:
        """One POST of one batch. The value says what is known of its fate, also when the call failed.

        The key must be derived from the content: the Control Plane answers a known key from memory and drops the body.
        """
        batch = events if isinstance(events, Batch) else Batch.of(events)
        if not batch.count:
            return Ingested("stored")
        key = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        answer = await self._send("POST", "/api/events", body=batch.body, headers=key)
        return taken(batch, answer.body)

    @degrades(_no_rows)
    async def fetch_events_history(
        self,
        *,
        event_type: str | None = None,
        aid: str | None = None,
        session_id: str | None = None,
        run_id: str | None = None,
        since: str | float | None = None,
        until: str | float | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[Row]:
        """Stored events, newest ``ts`` first; ties come in no reliable order. Numbers are Unix seconds, inclusive."""
        filters = arguments.query(
            type=event_type,
            aid=aid,
            sessionId=session_id,
            runId=run_id,
            since=arguments.when(since),
            until=arguments.when(until),
            limit=limit,
            offset=offset,
        )
        return await self._rows("/api/events/history", "events", filters)

    @degrades(_no_rows)
    async def fetch_sessions(
        self,
        *,
        status: str | None = None,
        run_id: str | None = None,
        aid: str | None = None,
        limit: int | None = None,
    ) -> list[Row]:
        """Sessions, newest first: at most 200, of which the first ``limit`` are kept here (the route has no limit)."""
        found = await self._rows("/api/sessions", "sessions", arguments.query(status=status, runId=run_id, aid=aid))
        return found[:limit]

    @degrades(_no_rows)
    async def replay_session(
        self,
        session_id: str,
        *,
        since: str | float | None = None,
        until: str | float | None = None,
        limit: int | None = None,
    ) -> list[Row]:
        """The events of a session, oldest first; of an unknown one, none."""
        filters = arguments.query(since=arguments.when(since), until=arguments.when(until), limit=limit)
        return await self._rows(f"/api/sessions/{segment(session_id)}/replay", "events", filters)

    # -- tokens -------------------------------------------------------------------------------------------------------

    @degrades(_no_rows)
    async def fetch_tcts(
        self,
        *,
        issuer: str | None = None,
        subject: str | None = None,
        audience: str | None = None,
        capability: str | None = None,
        session_id: str | None = None,
        active: bool | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[Row]:
        """Tokens as reported by whoever ingested them, newest first. ``active`` filters if True, and only then."""
        filters = arguments.query(
            issuer=issuer,
            subject=subject,
            audience=audience,
            capability=capability,
            sessionId=session_id,
            active=active,
            limit=limit,
            offset=offset,
        )
        return await self._rows("/api/tcts", "tcts", filters)

    @degrades(_no_rows)
    async def fetch_delegations(
        self,
        *,
        root_jti: str | None = None,
        parent_jti: str | None = None,
        delegator: str | None = None,
        delegatee: str | None = None,
        active: bool | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[Row]:
        """Delegations as reported. ``root_jti`` is the jti of a delegation, never of a TCT.

        The route forgets its other filters beside ``root_jti``, so they are applied again here.
        """
        filters = arguments.query(
            root_jti=root_jti,
            parent_jti=parent_jti,
            delegator=delegator,
            delegatee=delegatee,
            active=active,
            limit=limit,
            offset=offset,
        )
        found = await self._rows("/api/delegations", "delegations", filters)
        if not root_jti:
            return found
        fitting = arguments.matching(found, parentJti=parent_jti, delegator=delegator, delegatee=delegatee)
        now = time.time()
        kept = [row for row in fitting if not active or arguments.is_active(row, now)]
        return kept[offset or 0 :][:limit]

    @degrades(_false)
    async def publish_revocation(self, jti: str, reason: str | None = None) -> bool:
        """Put ``jti`` on the public list. True when the Control Plane has taken it.

        Each repetition would be an event and a webhook more, hence the key made from the content.
        """
        jti = arguments.revocable(jti)
        body = arguments.body(jti=jti, reason=reason[:_LONGEST_REASON] if reason else None)
        key = {"Idempotency-Key": f"revoke-{hashlib.sha256(body).hexdigest()}"}
        row = record((await self._send("POST", "/api/revocation/entries", body=body, headers=key)).body)
        if str(row.get("jti")).lower() != jti:
            raise Degraded("bad_shape", "the answer names another jti")
        return True

    @degrades(_no_rows)
    async def fetch_revocation_list(self) -> list[Row]:
        """The entries of a list that verifies against the pinned issuer and is no older than the last."""
        issuer = await self._pin.aid(self._issuer_shown)
        answer = await self._send("GET", _REVOCATION_LIST, public=True, headers={"Cache-Control": "no-cache"})
        return await self._lists.accept(answer.body, issuer)

    @degrades(lambda _: "")
    async def pinned_aid(self) -> str:
        """The AID whose revocation list counts: ``CP_AID``, or what this Control Plane showed at first contact."""
        return await self._pin.aid(self._issuer_shown)

    # -- webhooks -----------------------------------------------------------------------------------------------------

    @degrades(_none)
    async def create_webhook(self, url: str, events: Sequence[str], secret: str) -> Row | None:
        """Subscribe ``url``; the row without its secret. A refused URL is a normal answer of a guarded installation."""
        if not 0 < len(secret) <= _LONGEST_SECRET:
            raise unfit(f"a secret has 1 to {_LONGEST_SECRET} characters")
        answer = await self._send(
            "POST", "/api/webhooks", body=arguments.body(url=url, events=[*events], secret=secret)
        )
        row = _identified(answer.body)
        row.pop("secret", None)
        return row

    @degrades(_no_rows)
    async def list_webhooks(self) -> list[Row]:
        """Every subscription there is, whoever made it; without its secret."""
        found = await self._rows("/api/webhooks", "webhooks")
        return [{name: value for name, value in row.items() if name != "secret"} for row in found]

    @degrades(_when_disabled)
    async def delete_webhook(self, webhook_id: str) -> bool:
        """True when the subscription is gone: deleted now, or unknown to the Control Plane."""
        return await self._removed(f"/api/webhooks/{segment(webhook_id)}")

    # -- dashboard ----------------------------------------------------------------------------------------------------

    @degrades(_no_record)
    async def fetch_dashboard_overview(self, window: str = "24h") -> Row:
        """Key figures of ``1h``, ``24h``, ``7d`` or ``30d``; any other window would silently be a day."""
        answer = await self._send("GET", "/api/dashboard/overview", query={"range": window})
        return record(answer.body)

    @degrades(_no_rows)
    async def fetch_dashboard_agents(self) -> list[Row]:
        """Every registered agent, expired and deregistered ones too, with its all-time counts."""
        return await self._rows("/api/dashboard/agents", "agents")

    # -- trust anchors and pinned keys --------------------------------------------------------------------------------

    @degrades(_no_rows)
    async def list_trust_anchors(self, namespace: str | None = None) -> list[Row]:
        """Anchors of a namespace, or of all."""
        return await self._rows("/api/trust-anchors", "trustAnchors", arguments.query(namespace=namespace))

    @degrades(_no_rows)
    async def list_pinned_keys(self, namespace: str | None = None) -> list[Row]:
        """Pins of a namespace, or of all; expired ones are listed too."""
        return await self._rows("/api/pinned-keys", "pinnedKeys", arguments.query(namespace=namespace))

    @degrades(_none)
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
                return _identified((await self._send("POST", "/api/trust-anchors", body=body)).body)
            except Degraded as failure:
                if failure.status is None or (failure.status != 409 and failure.status < 500):
                    raise
                found = await self._anchor(namespace, issuer_url)
                if found is None:
                    raise
        return await self._brought_up_to(found, wanted)

    @degrades(_none)
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

    async def _removed(self, path: str) -> bool:
        try:
            await self._send("DELETE", path, read=False)
        except Degraded as failure:
            if failure.status != 404:
                raise
        return True

    async def _rows(
        self, path: str, key: str, query: Mapping[str, str] | None = None, *, public: bool = False
    ) -> list[Row]:
        return rows((await self._send("GET", path, query=query, public=public)).body, key)

    async def _anchor(self, namespace: str, issuer_url: str) -> Row | None:
        anchors = await self._rows("/api/trust-anchors", "trustAnchors", {"namespace": namespace})
        return next(iter(arguments.matching(anchors, namespace=namespace, issuerUrl=issuer_url)), None)

    async def _brought_up_to(self, anchor: Row, wanted: Mapping[str, str | None]) -> Row:
        changes = {name: value for name, value in wanted.items() if value is not None and anchor.get(name) != value}
        if not changes:
            return anchor
        path = f"/api/trust-anchors/{segment(str(anchor.get('id', '')))}"
        answer = await self._send("PATCH", path, body=arguments.body(**changes))
        return {**anchor, **_identified(answer.body)}

    async def _issuer_shown(self) -> str:
        aid = record((await self._send("GET", "/api/health", public=True)).body).get("aid")
        if not isinstance(aid, str) or not is_aid(aid):
            raise Degraded("bad_shape", "the health document names no AID")
        return aid


def _identified(body: bytes) -> Row:
    row = record(body)
    if not isinstance(row.get("id"), str) or row["id"] in {"", ".", ".."}:
        raise Degraded("bad_shape", "the answer names no id")
    return row
