"""The operations: how to call each, what it falls back to, and what the Control Plane answers when well."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aitp

from aitp_playground.cp_client import BatchFate, CpClient, Outcome

CP = aitp.AitpAgent.from_seed(bytes(range(32)))
AGENT = aitp.AitpAgent.from_seed(b"a" * 32)
KEY = AGENT.aid.removeprefix("aid:pubkey:")
JTI = "9a12be2d-0e1c-4953-8351-17ed8c8406f8"
HOOK = str(uuid.UUID(int=7))
ENTRY = {"jti": JTI, "reason": "lost"}
#: Good for longer than any suite takes.
SIGNED = json.loads(CP.sign_revocation_list([ENTRY], expires_in_secs=7 * 86400))
ANCHOR = {
    "id": str(uuid.UUID(int=9)),
    "namespace": "default",
    "issuerUrl": "https://idp.example",
    "jwksUrl": None,
    "label": None,
}
ROW = {"id": "1"}


@dataclass(frozen=True, slots=True)
class Operation:
    """``public`` calls carry no key. ``value`` is what comes of ``answer``; ``blind`` ones do not look at the body."""

    name: str
    answer: Any
    value: Any
    fallback: Any
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    public: bool = False
    blind: bool = False

    async def outcome(self, client: CpClient) -> Outcome[Any]:
        return await getattr(client, self.name).outcome(*self.args, **self.kwargs)  # type: ignore[no-any-return]

    async def plain(self, client: CpClient) -> Any:
        return await getattr(client, self.name)(*self.args, **self.kwargs)


OPERATIONS = (
    Operation("discover_by_capability", {"agents": [ROW]}, [ROW], [], ("demo.echo",), public=True),
    Operation("ingest_events", {"ingested": 1}, BatchFate("stored", 1), BatchFate("unknown"), ([{"type": "x"}],)),
    Operation("publish_revocation", {"jti": JTI}, True, False, (JTI, "lost")),
    Operation("fetch_revocation_list", SIGNED, SIGNED["revocation_list"]["entries"], [], public=True),
    Operation(
        "create_webhook", {"id": HOOK, "secret": "s" * 32}, {"id": HOOK}, None, ("http://h/x", ["agent.*"], "s" * 32)
    ),
    Operation("list_webhooks", {"webhooks": [ROW]}, [ROW], []),
    Operation("delete_webhook", {"id": HOOK, "deleted": True}, True, False, (HOOK,), blind=True),
    Operation(
        "deregister_agent",
        {"aid": AGENT.aid, "status": "deregistered"},
        True,
        False,
        (AGENT.aid,),
        blind=True,
    ),
    Operation("fetch_events_history", {"events": [ROW], "count": 1}, [ROW], []),
    Operation("fetch_sessions", {"sessions": [ROW]}, [ROW], []),
    Operation("fetch_tcts", {"tcts": [ROW]}, [ROW], []),
    Operation("fetch_delegations", {"delegations": [ROW]}, [ROW], []),
    Operation("replay_session", {"sessionId": "s", "count": 1, "events": [ROW]}, [ROW], [], ("s",)),
    Operation("fetch_dashboard_overview", {"range": "24h", "kpis": {}}, {"range": "24h", "kpis": {}}, {}),
    Operation("fetch_dashboard_agents", {"agents": [ROW]}, [ROW], []),
    Operation("list_trust_anchors", {"trustAnchors": [ROW]}, [ROW], []),
    Operation("list_pinned_keys", {"pinnedKeys": [ROW]}, [ROW], []),
    Operation("upsert_trust_anchor", {"trustAnchors": [ANCHOR]}, ANCHOR, None, ("https://idp.example",)),
    Operation(
        "upsert_pinned_key",
        {"aid": AGENT.aid, "pubkey": KEY},
        {"aid": AGENT.aid, "pubkey": KEY},
        None,
        (AGENT.aid, KEY),
    ),
)
BY_NAME = {one.name: one for one in OPERATIONS}
