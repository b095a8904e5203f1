"""One agent: its parts, put together once."""

from __future__ import annotations

from collections.abc import Mapping

from base.capabilities import Capabilities, Function, WorkerContext
from base.http.peer_client import PeerClient
from base.http.tracing import Tracer
from base.process.bootstrap import Bootstrap
from base.protocol.bearing import Bearer
from base.protocol.bundles import BundleVerifier, Coordinator
from base.protocol.delegation import Delegations
from base.protocol.enrolment import Enrolment
from base.protocol.identity import Identity
from base.protocol.initiating import Initiator
from base.protocol.invocation import Invoker
from base.protocol.issuer_lists import IssuerLists
from base.protocol.list_fetching import ListFetcher
from base.protocol.oidc import OidcTrust
from base.protocol.peers import PeerBook
from base.protocol.redeemed import RedeemedBook
from base.protocol.redemption import Redemptions
from base.protocol.renewal import Renewals, Renewer
from base.protocol.responding import Responder
from base.protocol.revocation import RevocationState
from base.protocol.revocation_record import RevocationRecord
from base.protocol.revocation_refresh import Refresher
from base.protocol.revoking import Revoker
from base.protocol.rotation import Rotation
from base.protocol.shared import Shared
from base.protocol.tokens import TokenBook
from base.protocol.verification import Verifier
from base.telemetry import Telemetry
from base.text.llm import LlmClient


class Agent:
    """Everything one worker process holds. Must be made inside the running event loop."""

    def __init__(self, bootstrap: Bootstrap, functions: Mapping[str, Function]) -> None:
        self.bootstrap = bootstrap
        self.identity = Identity(bootstrap)
        self.client = PeerClient()
        self.tracer = Tracer(bootstrap.run_id, lambda: self.identity.aid)
        self.telemetry = Telemetry(bootstrap.telemetry, self.client.session, self.tracer)
        self.peers = PeerBook(open_to_verified=bootstrap.accept == "any-verified")
        self.tokens = TokenBook()
        self.revocations = RevocationState(bootstrap.revocation, bootstrap.cp, self.tokens)
        redeemed = RedeemedBook()
        self.record = RevocationRecord(bootstrap.revocation.record_dir, self.identity.aid, self.revocations, redeemed)
        self.verifier = Verifier(self.identity, self.revocations, self.peers.introduced)
        fetcher = ListFetcher(self.revocations, self.client, self.telemetry)
        self.issuer_lists = IssuerLists(bootstrap.revocation, self.peers, self.revocations, fetcher, self.client)
        shared = Shared(
            self.identity,
            self.peers,
            self.tokens,
            self.revocations,
            self.client,
            self.telemetry,
            self.issuer_lists,
            redeemed,
            self.record,
        )
        oidc = OidcTrust(bootstrap.oidc, self.identity, self.client)
        self.initiator = Initiator(bootstrap, shared, oidc)
        self.responder = Responder(bootstrap, shared, oidc)
        self.delegations = Delegations(shared)
        self.redemptions = Redemptions(shared, bootstrap.redelegation)
        self.revoker = Revoker(self.tokens, self.revocations, self.telemetry)
        self.refresher = Refresher(
            bootstrap.revocation, bootstrap.cp, self.peers, self.revocations, fetcher, self.client
        )
        self.enrolment = Enrolment(bootstrap, self.identity, self.client, self.telemetry)
        self.llm = LlmClient(bootstrap.llm, on_event=self.telemetry.emit) if bootstrap.llm is not None else None
        context = WorkerContext(bootstrap.agent_id, bootstrap.display_name, bootstrap.offered_caps, self.llm)
        self.capabilities = Capabilities(functions, context)
        bearer = Bearer(self.identity, self.tokens, self.client)
        self.invoker = Invoker(self.peers, bearer, self.client)
        self.renewer = Renewer(shared, bearer)
        self.coordinator = Coordinator(shared, self.verifier)
        self.bundle_verifier = BundleVerifier(shared, bearer)
        self.rotation = Rotation(
            shared,
            self.verifier,
            self.responder,
            self.redemptions,
            self.coordinator,
            keeps_its_key=bootstrap.revocation.record_dir is not None,
        )
        self.renewals = Renewals(shared, self.verifier, bootstrap.redelegation)

    def start(self) -> None:
        """Begin the background work."""
        self.telemetry.start()
        self.refresher.start()

    async def close(self) -> None:
        """End it."""
        await self.issuer_lists.close()
        await self.redemptions.close()
        await self.refresher.close()
        await self.telemetry.close()
        await self.client.close()
        await self.record.close()
        if self.llm is not None:
            await self.llm.close()
