"""CpClient: every use the service makes of the Control Plane, none of them load-bearing.

``await client.fetch_tcts(issuer=aid)`` gives the value, or the fallback after any failure; it never raises.
``await client.fetch_tcts.outcome(issuer=aid)`` gives an :class:`~aitp_playground.cp_client.reasons.Outcome`: the same
value with the reason class beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

import aiohttp

from aitp_playground.config import Settings
from aitp_playground.cp_client import arguments
from aitp_playground.cp_client.answers import Row, record
from aitp_playground.cp_client.breaker import Breaker, State
from aitp_playground.cp_client.calls.anchors import AnchorCalls
from aitp_playground.cp_client.calls.dashboard import DashboardCalls
from aitp_playground.cp_client.calls.events import EventCalls
from aitp_playground.cp_client.calls.registry import RegistryCalls
from aitp_playground.cp_client.calls.requests import no, no_rows
from aitp_playground.cp_client.calls.tokens import TokenCalls
from aitp_playground.cp_client.calls.webhooks import WebhookCalls
from aitp_playground.cp_client.degrading import Observer, degrades
from aitp_playground.cp_client.issuer_pin import IssuerPin, is_aid
from aitp_playground.cp_client.reasons import Degraded
from aitp_playground.cp_client.revocation_lists import RevocationLists
from aitp_playground.cp_client.transport import Transport

_LONGEST_REASON: Final = 500
_REVOCATION_LIST: Final = "/.well-known/aitp-revocation-list"


class CpClient(RegistryCalls, EventCalls, TokenCalls, WebhookCalls, DashboardCalls, AnchorCalls):
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

    # -- revocation ---------------------------------------------------------------------------------------------------

    @degrades(no)
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

    @degrades(no_rows)
    async def fetch_revocation_list(self) -> list[Row]:
        """The entries of a list that verifies against the pinned issuer and is no older than the last."""
        issuer = await self._pin.aid(self._issuer_shown)
        answer = await self._send("GET", _REVOCATION_LIST, public=True, headers={"Cache-Control": "no-cache"})
        return await self._lists.accept(answer.body, issuer)

    @degrades(lambda _: "")
    async def pinned_aid(self) -> str:
        """The AID whose revocation list counts: ``CP_AID``, or what this Control Plane showed at first contact."""
        return await self._pin.aid(self._issuer_shown)

    async def _issuer_shown(self) -> str:
        aid = record((await self._send("GET", "/api/health", public=True)).body).get("aid")
        if not isinstance(aid, str) or not is_aid(aid):
            raise Degraded("bad_shape", "the health document names no AID")
        return aid
