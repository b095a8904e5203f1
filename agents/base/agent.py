"""One agent: its parts, put together once, and the routes they serve."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from base.agent_admin import AdminRoutes
from base.aitp_server import ProtocolRoutes
from base.bootstrap import Bootstrap
from base.capabilities import Capabilities, Function, WorkerContext
from base.delegation import Delegations
from base.enrolment import Enrolment
from base.handshake import Handshakes
from base.identity import Identity
from base.invocation import Invoker
from base.peer_client import PeerClient
from base.peers import PeerBook
from base.redemption import Redemptions
from base.revocation import RevocationState
from base.revocation_refresh import Refresher
from base.revoking import Revoker
from base.telemetry import Telemetry
from base.tokens import TokenBook
from base.verification import Verifier
from base.wire import edge, quiet_headers


class Agent:
    """Everything one worker process holds. Must be made inside the running event loop."""

    def __init__(self, bootstrap: Bootstrap, functions: Mapping[str, Function]) -> None:
        self.bootstrap = bootstrap
        self.identity = Identity(bootstrap)
        self.client = PeerClient()
        self.telemetry = Telemetry(bootstrap.telemetry, self.client.session)
        self.peers = PeerBook(open_to_verified=bootstrap.accept == "any-verified")
        self.tokens = TokenBook()
        self.revocations = RevocationState(bootstrap.revocation, bootstrap.cp, self.tokens.expiry_of)
        self.verifier = Verifier(self.identity, self.revocations)
        self.handshakes = Handshakes(
            bootstrap, self.identity, self.peers, self.tokens, self.revocations, self.client, self.telemetry
        )
        shared = (self.identity, self.peers, self.tokens, self.revocations, self.client, self.telemetry)
        self.delegations = Delegations(*shared)
        self.redemptions = Redemptions(*shared)
        self.revoker = Revoker(self.tokens, self.revocations, self.telemetry)
        self.refresher = Refresher(
            bootstrap.revocation, bootstrap.cp, self.peers, self.revocations, self.client, self.telemetry
        )
        self.enrolment = Enrolment(bootstrap, self.identity, self.client, self.telemetry)
        self.capabilities = Capabilities(functions, self._context())
        self.invoker = Invoker(self.identity, self.peers, self.tokens, self.client)

    def start(self) -> None:
        """Begin the background work."""
        self.telemetry.start()
        self.refresher.start()

    async def close(self) -> None:
        """End it."""
        await self.refresher.close()
        await self.telemetry.close()
        await self.client.close()

    def app(self) -> web.Application:
        """The HTTP application: protocol routes and admin routes."""
        app = web.Application(middlewares=[edge])
        app.on_response_prepare.append(quiet_headers)
        ProtocolRoutes(self).add_to(app)
        AdminRoutes(self).add_to(app)
        return app

    def _context(self) -> WorkerContext:
        given = self.bootstrap
        llm = None
        if given.llm is not None:
            from base.llm import build_llm

            llm = build_llm(given.llm, self.client.session(), on_event=self.telemetry.emit)
        return WorkerContext(given.agent_id, given.display_name, given.offered_caps, llm)
