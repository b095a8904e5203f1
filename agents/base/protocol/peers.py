"""The peers the service introduced: who may speak to this agent, and where each one is.

An agent that accepts any verified sender also keeps guests, who shook hands with it unintroduced. They may do that and
use what it grants them; the agent itself never goes to an address that they named.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit, urlunsplit

from base.aids import canonical
from base.protocol.identity import MANIFEST_PATH
from base.refusals import PeerFailed, Refusal, malformed

MAX_PEERS = 256


@dataclass(frozen=True, slots=True)
class Peer:
    """One introduced agent; its AID is pinned, whichever of its two spellings it speaks under.

    ``manifest_url`` is empty of one that was introduced by its AID alone. ``manifest``: the one that it came with,
    verified then, of a guest and of whoever's address is not known.
    """

    agent_id: str
    aid: str
    manifest_url: str
    manifest: str = field(default="", repr=False, compare=False)

    @property
    def key(self) -> str:
        """The one spelling of its AID."""
        return canonical(self.aid)

    @property
    def address(self) -> str:
        """Where its manifest is. Raises :class:`PeerFailed` when nobody said."""
        if not self.manifest_url:
            raise PeerFailed("refused", f"no address of {self.agent_id[:100]} is known", url="")
        return self.manifest_url

    @property
    def base_url(self) -> str:
        """Where its routes are: the manifest's address without the well-known path. Raises as :attr:`address`."""
        parts = urlsplit(self.address)
        return urlunsplit((parts.scheme, parts.netloc, parts.path.removesuffix(MANIFEST_PATH), "", "")).rstrip("/")


class PeerBook:
    """The list, replaced as a whole; and with ``open_to_verified`` the guests, of whom the oldest goes at the bound."""

    def __init__(self, *, open_to_verified: bool = False) -> None:
        self.open_to_verified = open_to_verified
        self._by_id: dict[str, Peer] = {}
        self._by_key: dict[str, Peer] = {}
        self._guests: OrderedDict[str, Peer] = OrderedDict()

    def replace(self, peers: Iterable[Peer]) -> int:
        """Forget the old list. Raises 400 for too many, or for an id or AID that appears twice."""
        listed = list(peers)
        by_id = {peer.agent_id: peer for peer in listed}
        by_key = {peer.key: peer for peer in listed}
        if len(listed) > MAX_PEERS or not len(by_id) == len(by_key) == len(listed):
            raise malformed(f"peers: at most {MAX_PEERS}, each agent id and each AID once")
        for peer in listed:
            if not peer.manifest_url and (before := self._by_key.get(peer.key) or self._guests.get(peer.key)):
                by_id[peer.agent_id] = by_key[peer.key] = replace(peer, manifest=before.manifest)
        self._by_id, self._by_key = by_id, by_key
        return len(listed)

    def named(self, agent_id: str) -> Peer:
        """The peer of that agent id, for this agent's own errands. Raises ``peer_unknown``."""
        return self._known(self._by_id.get(agent_id), agent_id)

    def require_still(self, peer: Peer) -> None:
        """For after a wait: whether the list has that peer as it was. Raises ``peer_unknown``."""
        if self.named(peer.agent_id).key != peer.key:
            raise Refusal("peer_unknown", f"{peer.agent_id[:100]!r} has another key now")

    def introduced(self, aid: str) -> bool:
        """Whether the service introduced whoever has that AID."""
        return canonical(aid) in self._by_key

    def sender(self, aid: str) -> Peer:
        """The peer that speaks as ``aid``. Raises ``peer_unknown``."""
        return self._known(self._by_key.get(canonical(aid)), aid)

    def admit(self, guest: Peer) -> bool:
        """Keep who came with a verified hello, for the rest of its handshake and after: one who was not introduced, and
        the manifest of one whose address is not known. Says whether it is a guest that was not known."""
        listed = self._by_key.get(guest.key)
        if listed is not None and not listed.manifest_url:
            listed = replace(listed, manifest=guest.manifest)
            self._by_id[listed.agent_id] = self._by_key[listed.key] = listed
        if listed is not None or not self.open_to_verified:
            return False
        new = guest.key not in self._guests
        self._guests[guest.key] = guest
        self._guests.move_to_end(guest.key)
        if len(self._guests) > MAX_PEERS:
            self._guests.popitem(last=False)
        return new

    def greeter(self, aid: str) -> Peer:
        """Who shakes hands as ``aid``: a peer or a guest. Raises ``peer_unknown``."""
        key = canonical(aid)
        return self._guests[key] if key in self._guests and key not in self._by_key else self.sender(aid)

    def holder(self, aid: str) -> Peer:
        """Whoever holds a token of this agent's: nobody need have introduced it."""
        try:
            return self.greeter(aid)
        except Refusal:
            return Peer(aid, aid, "")

    def agent_id_of(self, aid: str) -> str | None:
        """Its agent id, when it is in the list."""
        peer = self._by_key.get(canonical(aid))
        return peer.agent_id if peer else None

    @staticmethod
    def _known(peer: Peer | None, name: str) -> Peer:
        if peer is None:
            raise Refusal("peer_unknown", f"{name[:100]!r} has not been introduced to this agent")
        return peer


def is_http_url(value: str) -> bool:
    """Whether ``value`` is an absolute http or https URL."""
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def http_url(value: str, name: str) -> str:
    """``value`` when it is one. Raises 400."""
    if not is_http_url(value):
        raise malformed(f"{name}: not an http or https URL")
    return value
