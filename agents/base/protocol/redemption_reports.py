"""What the log is told of redemptions."""

from __future__ import annotations

from typing import Any

from base.protocol.delegation_tokens import Delegation, delegation_jti, reported
from base.protocol.peers import Peer, PeerBook
from base.protocol.tokens import Token, claims_or_nothing
from base.refusals import Fault, Refusal
from base.telemetry import Telemetry


class RedemptionReports:
    """Names the parties by their agent ids where the service introduced them."""

    def __init__(self, telemetry: Telemetry, peers: PeerBook) -> None:
        self._telemetry = telemetry
        self._peers = peers

    def redeemed(self, minted: Token, delegator: Peer, delegation: Delegation) -> None:
        """A token was minted for the delegatee."""
        known = self._known(delegator=delegator.aid, delegatee=minted.peer_aid)
        self._telemetry.emit(
            "delegation.redeemed",
            initiator=known.get("delegator"),
            target=known.get("delegatee"),
            aid_a=delegator.aid,
            aid_b=minted.peer_aid,
            jti=minted.jti,
            grants=minted.summary()["grants"],
            payload={
                **known,
                "tct": {"claims": minted.claims},
                "parent_jti": delegation.source_jti,
                "delegation_jti": delegation_jti(delegation.text),
                "delegation": {"claims": reported(delegation.claims)},
            },
        )

    def rejected(self, fault: Fault, aid: str, delegation: Any) -> None:
        """A redemption by ``aid`` was refused; ``delegation`` is what it showed, whatever that is."""
        delegator = str(claims_or_nothing(delegation).get("iss", ""))
        known = self._known(delegator=delegator, delegatee=aid)
        told = fault.told() if isinstance(fault, Refusal) else {"code": fault.code, **fault.details}
        self._telemetry.emit_refusal(
            "delegation.rejected",
            initiator=known.get("delegator"),
            target=known.get("delegatee"),
            aid=aid[:100],
            error=str(fault),
            payload={**told, **known},
        )

    def _known(self, **aids: str) -> dict[str, str]:
        """Of these, the agent ids of those that were introduced."""
        named = {role: self._peers.agent_id_of(aid) for role, aid in aids.items()}
        return {role: agent_id for role, agent_id in named.items() if agent_id is not None}
