"""What is known of a run at one moment of its recording."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

from aitp_verifier.identity import trust_store_entry

from tests.support.oracle.recording import Contradiction, Document, parsed, port_of


class Facts:
    """``outside`` are the AIDs of signers that are no agents of the run."""

    def __init__(self, messages: Iterable[Document], outside: Collection[str] = ()) -> None:
        self.outside = frozenset(outside)
        #: Agent -> its AIDs; more than one if it changed its key.
        self.aids: defaultdict[str, set[str]] = defaultdict(set)
        self._ports: dict[int, str] = {}
        for message in messages:
            self.aids[message["agent"]] |= {message["aid"], message["aid_before"]}
            self._ports[message["port"]] = message["agent"]
        #: AID -> the newest manifest that was seen of it.
        self.manifests: dict[str, Document] = {}
        #: Agent -> whom the service has introduced to it, by agent id.
        self._introduced: dict[str, dict[str, Document]] = {}
        #: Agent -> whose manifest it was given when.
        self._looked_up: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
        #: Nonce of a greeting -> the greeting.
        self.greetings: dict[str, Document] = {}
        #: jti -> claims, of every token that verified.
        self.tcts: dict[str, Document] = {}
        #: jti -> the token that this one was renewed or redeemed from.
        self.parents: dict[str, str] = {}
        #: Those that were redeemed, or renewed from one that was.
        self.redeemed: set[str] = set()
        #: Tokens of initiators that wanted nothing but what they got: they are not honoured.
        self.withheld: set[str] = set()
        #: ID tokens that were judged in the greeting that they were made for.
        self.shown: set[str] = set()
        #: How many different ones of each kind have verified, and how much was judged as the agents judged it.
        self.seen: Counter[str] = Counter()
        #: What the log has to tell as well: agent, event, and the jti that it is about.
        self.to_be_told: Counter[tuple[str, str, str]] = Counter()

    def is_agents(self, aid: str) -> bool:
        return any(aid in aids for aids in self.aids.values())

    def require_agents(self, aid: str) -> None:
        if not self.is_agents(aid):
            raise Contradiction(f"{aid} is no agent of this run")

    def target(self, message: Document) -> str | None:
        """The agent that something is asked of; None when it is none of this run."""
        port = port_of(message["path"])
        return None if port is None else self._ports.get(port)

    def manifest(self, aid: str) -> Document:
        if aid not in self.manifests:
            raise Contradiction(f"something of {aid}, of which no manifest was seen")
        return self.manifests[aid]

    def introduce(self, message: Document) -> None:
        """Take in the list of peers that the service gave to an agent."""
        peers = parsed(message["body"])["peers"]
        self._introduced[message["agent"]] = {peer["agent_id"]: peer for peer in peers}

    def look_up(self, message: Document) -> None:
        """An agent was given a manifest, if that is what it asked for."""
        document = parsed(message["answer"])
        manifest = document.get("manifest") if isinstance(document, dict) else None
        if isinstance(manifest, dict):
            self._looked_up[message["agent"]].append((message["until"], manifest["aid"]))

    def has_manifest(self, message: Document, aid: str) -> bool:
        """Whether the agent was given that manifest while it was answering this, unless nobody said where it is."""
        peer, looked_up = self.introduced(message, aid), self._looked_up[message["agent"]]
        if peer is not None and not peer.get("manifest_url"):
            return True
        return any(message["at"] <= at <= message["until"] and whose == aid for at, whose in looked_up)

    def peer(self, message: Document, agent_id: str) -> str:
        """The AID of a peer of the agent that wrote this down."""
        aid: str = self._introduced[message["agent"]][agent_id]["aid"]
        return aid

    def introduced(self, message: Document, aid: str) -> Document | None:
        """The peer with that key, whichever way it is spelt, that the agent that wrote this down was told of."""
        known = self._introduced.get(message["agent"], {}).values()
        return next((peer for peer in known if trust_store_entry(peer["aid"]) == trust_store_entry(aid)), None)

    def descends(self, jti: str, parent: str, *, redeemed: bool) -> None:
        """A token was made from another."""
        self.parents[jti] = parent
        if redeemed or parent in self.redeemed:
            self.redeemed.add(jti)

    def line_of(self, jti: str) -> list[str]:
        """A token and all that it came of (RFC-AITP-0008, section 1.1), itself first."""
        line = [jti]
        while line[-1] in self.parents:
            line.append(self.parents[line[-1]])
        return line
