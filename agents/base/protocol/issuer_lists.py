"""The revocation list that a peer advertises: fetched beside an exchange with it, there before its token is taken.

RFC-AITP-0008, section 1.4: a manifest may say where its issuer's list is. An exchange begins a look as soon as it has
the peer's verified manifest, and settles it right before it hands the SDK the peer's token.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from base.http.peer_client import PeerClient
from base.process.bootstrap import RevocationConfig
from base.process.tasks import SharedTasks, outcome
from base.protocol.control_plane import failure_of
from base.protocol.list_fetching import MAX_PEER_LIST, Fetched, ListFetcher
from base.protocol.manifests import fetch_manifest
from base.protocol.peers import Peer, PeerBook, is_http_url
from base.protocol.revocation import RevocationState
from base.refusals import PeerFailed, Refusal

#: Seconds that a look may take in all.
LOOK_SECS = 2.0
#: Seconds for which a list is not fetched again, unless it expires before.
RECENT_SECS = 60.0
MAX_URL = 300

NOT_ADVERTISED = "not_advertised"
NOT_INTRODUCED = "not_introduced"
_GONE_ON_WITH = {
    NOT_ADVERTISED: "the peer advertises no revocation list",
    NOT_INTRODUCED: "an address that a stranger names is not visited",
}


class IssuerLists:
    """One look at a time for each introduced peer, shared by all exchanges with it."""

    def __init__(
        self,
        config: RevocationConfig,
        peers: PeerBook,
        revocations: RevocationState,
        fetcher: ListFetcher,
        client: PeerClient,
    ) -> None:
        self._config = config
        self._peers = peers
        self._revocations = revocations
        self._fetcher = fetcher
        self._client = client
        self._looks: SharedTasks[str | None] = SharedTasks("issuer-list")
        self._anew = 0

    def begin(self, peer: Peer, advertised: str | None, *, anew: bool = False) -> Look:
        """Look at the list that the peer's verified manifest advertises; None: it advertises none. ``anew``: also if
        one came a short while ago, or is on its way.

        An address that a stranger named is not visited: nothing is fetched for a peer that was not introduced.
        """
        if advertised is None:
            return Look(self, peer, None, None, NOT_ADVERTISED)
        if not self._peers.introduced(peer.aid):
            return Look(self, peer, advertised, None, NOT_INTRODUCED)
        return Look(self, peer, advertised, self._start(peer, advertised, anew=anew))

    def begin_at_its_manifest(self, peer: Peer) -> Look:
        """The same for an introduced peer whose manifest is not at hand: it is fetched first, in the same time."""
        return Look(self, peer, None, self._start(peer, None))

    async def close(self) -> None:
        await self._looks.close()

    async def settle(self, look: Look) -> None:
        """See :meth:`Look.settle`."""
        cause, task = look.cause, look.task
        if cause == NOT_INTRODUCED and self._peers.introduced(look.peer.aid):
            cause, task = None, self._start(look.peer, look.advertised)  # it was meanwhile
        if task is not None:
            cause = await outcome(task)
        if cause is None and (again := self._start(look.peer, look.advertised)) is not None:
            cause = await outcome(again)  # what was known when the look began has grown old since
        if cause in _GONE_ON_WITH:
            told = {"error": _GONE_ON_WITH[cause], **self._about(look.peer)}
            of_stranger = not self._peers.introduced(look.peer.aid)
            self._fetcher.report(Fetched.failed(cause), None, of_stranger=of_stranger, **told)
        elif cause is not None and self._config.issuer_fail_mode == "fail_closed" and not self._is_known(look.peer):
            name = look.peer.agent_id[:100]
            message = f"the revocation list of {name} could not be had ({cause}), and this agent fails closed"
            refusal = Refusal("revocation_unknown", message)
            refusal.confidential = True  # the peer chose the address, and might learn from why what is there
            raise refusal

    def _start(self, peer: Peer, advertised: str | None, *, anew: bool = False) -> asyncio.Task[str | None] | None:
        """The look that is going on, or a new one; None when the list came a short while ago."""
        if not anew and self._revocations.list_of(peer.aid).is_recent(RECENT_SECS):
            return None
        if anew:
            self._anew += 1  # what another look will find may have been written before this one began
        name = f"{peer.key} {advertised or peer.manifest_url} {self._anew if anew else ''}"
        return self._looks.join(name, lambda: self._look(peer, advertised))

    async def _look(self, peer: Peer, advertised: str | None) -> str | None:
        """Why no use can be made of the list; None when it was taken in. One event for each list that was asked for."""
        url = advertised or peer.manifest_url
        try:
            async with asyncio.timeout(LOOK_SECS):
                if advertised is None:
                    advertised = (await fetch_manifest(self._client, peer, peer.address)).revocation_list
                if advertised is None:
                    return NOT_ADVERTISED
                url = advertised
                if is_http_url(url):
                    fetched = await self._fetcher.fetch(url, peer.aid, most=MAX_PEER_LIST)
                else:
                    fetched = Fetched.failed("bad_shape")
        except TimeoutError:
            fetched = Fetched.failed("timeout")
        except PeerFailed as failed:
            fetched = Fetched.failed(failure_of(failed))
        about = self._about(peer)
        if fetched.cause is not None and not self._is_known(peer):
            about["fail_mode"] = self._config.issuer_fail_mode
        self._fetcher.report(fetched, url[:MAX_URL] or None, **about)
        return fetched.cause

    def _is_known(self, peer: Peer) -> bool:
        """Whether a list is held that may still be relied on, though there was none to be had just now."""
        known = self._revocations.list_of(peer.aid)
        return known.is_fresh or known.is_recent(RECENT_SECS)

    def _about(self, peer: Peer) -> dict[str, Any]:
        return {"issuer": peer.aid, "peer": self._peers.agent_id_of(peer.aid)}


@dataclass(frozen=True, slots=True)
class Look:
    """One exchange's look at a peer's list. ``cause``: why there is nothing to look at."""

    lists: IssuerLists
    peer: Peer
    advertised: str | None
    task: asyncio.Task[str | None] | None
    cause: str | None = None

    async def settle(self) -> None:
        """Wait for the list, at most :data:`LOOK_SECS` from when the look began.

        Afterwards the deny set knows what the peer's list says. Raises ``revocation_unknown`` under ``fail_closed``
        when the list could not be had and none that is fresh is held. A peer that advertises none, or that was not
        introduced, is gone on with, and an event says so.
        """
        await self.lists.settle(self)
