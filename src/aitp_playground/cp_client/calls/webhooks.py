"""Webhook subscriptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aitp_playground.cp_client import arguments
from aitp_playground.cp_client.answers import Row
from aitp_playground.cp_client.calls.requests import Requests, identified, no_rows, nothing, when_disabled
from aitp_playground.cp_client.degrading import degrades
from aitp_playground.cp_client.reasons import unfit
from aitp_playground.cp_client.transport import segment

_LONGEST_SECRET: Final = 255


class WebhookCalls(Requests):
    """Making, listing and removing subscriptions."""

    @degrades(nothing)
    async def create_webhook(self, url: str, events: Sequence[str], secret: str) -> Row | None:
        """Subscribe ``url``; the row without its secret. A refused URL is a normal answer of a guarded installation."""
        if not 0 < len(secret) <= _LONGEST_SECRET:
            raise unfit(f"a secret has 1 to {_LONGEST_SECRET} characters")
        answer = await self._send(
            "POST", "/api/webhooks", body=arguments.body(url=url, events=[*events], secret=secret)
        )
        row = identified(answer.body)
        row.pop("secret", None)
        return row

    @degrades(no_rows)
    async def list_webhooks(self) -> list[Row]:
        """Every subscription there is, whoever made it; without its secret."""
        found = await self._rows("/api/webhooks", "webhooks")
        return [{name: value for name, value in row.items() if name != "secret"} for row in found]

    @degrades(when_disabled)
    async def delete_webhook(self, webhook_id: str) -> bool:
        """True when the subscription is gone: deleted now, or unknown to the Control Plane."""
        return await self._removed(f"/api/webhooks/{segment(webhook_id)}")
