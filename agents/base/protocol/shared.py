"""What the parts of one agent that take part in the protocol have in common."""

from __future__ import annotations

from dataclasses import dataclass

from base.http.peer_client import PeerClient
from base.protocol.identity import Identity
from base.protocol.issuer_lists import IssuerLists
from base.protocol.peers import PeerBook
from base.protocol.revocation import RevocationState
from base.protocol.revocation_record import RevocationRecord
from base.protocol.tokens import TokenBook
from base.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Shared:
    """One agent's key and faces, whom it knows, what it holds and issued, what is revoked, and its ways to speak."""

    identity: Identity
    peers: PeerBook
    tokens: TokenBook
    revocations: RevocationState
    client: PeerClient
    telemetry: Telemetry
    issuer_lists: IssuerLists
    record: RevocationRecord
