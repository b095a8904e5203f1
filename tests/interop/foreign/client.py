"""The foreign agent goes to others: handshakes, calls, redemptions, over HTTP."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urljoin

import aiohttp
from aitp_verifier.errors import AitpError
from aitp_verifier.revocation import verify_snapshot_trust

from tests.interop.foreign import errors, manifests, possession
from tests.interop.foreign.agent import ForeignAgent
from tests.interop.foreign.envelopes import Envelope
from tests.interop.foreign.errors import Refused, Told
from tests.interop.foreign.handshake import Initiator
from tests.interop.foreign.manifests import LIST_URI, WELL_KNOWN, Manifest
from tests.interop.foreign.tokens import Grant

#: ``rfc``: one endpoint, no header. ``binding``: a base URL with ``hello`` and ``commit`` under it, a session header.
Style = Literal["rfc", "binding"]
SESSION = "X-Aitp-Session-Id"
JSON = "application/json"


@dataclass(frozen=True)
class Reply:
    """An HTTP answer, read; ``body`` is parsed where it is JSON, else bytes."""

    status: int
    headers: dict[str, str]
    body: Any


class Client:
    """What one agent does at one peer, in one style."""

    def __init__(
        self, agent: ForeignAgent, http: aiohttp.ClientSession, peer_url: str, peer_aid: str, style: Style = "rfc"
    ) -> None:
        self.agent = agent
        self.style = style
        self.peer_aid = peer_aid
        self.http = http
        self._peer_url = peer_url.rstrip("/")
        #: As the last acknowledgement had it in its header.
        self.session: str | None = None

    async def get(self, path_or_url: str) -> Reply:
        return await self._ask("GET", urljoin(f"{self._peer_url}/", path_or_url), None, {})

    async def post(self, path_or_url: str, body: Any, headers: dict[str, str] | None = None) -> Reply:
        """Post JSON, or bytes as they are. ``Content-Type`` may be set by the caller; None leaves it out."""
        url = urljoin(f"{self._peer_url}/", path_or_url)
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self._ask("POST", url, raw, {"Content-Type": JSON} | (headers or {}))

    async def _ask(self, method: str, url: str, body: bytes | None, headers: dict[str, str]) -> Reply:
        given = {name: value for name, value in headers.items() if value}
        left_out = [name for name, value in headers.items() if not value]
        async with self.http.request(
            method,
            url,
            data=None if body is None else io.BytesIO(body),
            headers=given,
            skip_auto_headers=left_out,
            allow_redirects=False,
        ) as answer:
            raw = await answer.read()
            try:
                parsed = json.loads(raw)
            except ValueError:
                parsed = raw
            return Reply(answer.status, {name.lower(): value for name, value in answer.headers.items()}, parsed)

    def told(self, reply: Reply) -> Told:
        """What a reply that is no success says."""
        return errors.read(reply.status, reply.body, self.peer_aid, self.agent.now())

    def wanted(self, reply: Reply) -> Any:
        """The body of a success. Raises :class:`Refused`."""
        if not 200 <= reply.status < 300:
            raise Refused(self.told(reply))
        return reply.body

    async def manifest(self) -> Manifest:
        """The peer's manifest, verified (RFC-AITP-0003 5)."""
        reply = await self.get(WELL_KNOWN)
        return manifests.read(self.wanted(reply), self.peer_aid, self.agent.now())

    async def denied(self) -> set[str]:
        """What the list denies that the peer's manifest names (RFC-AITP-0008 1.4, 1.5). Raises ``AitpError``."""
        manifest = await self.manifest()
        snapshot = self.wanted(await self.get(manifest["extensions"][LIST_URI]))
        body = verify_snapshot_trust(snapshot)
        if body["issuer"] != manifest["aid"] or not body["published_at"] <= self.agent.now() < body["expires_at"]:
            raise AitpError("REVOCATION_SNAPSHOT_INVALID", "of another issuer, or of another time")
        return {entry["jti"] for entry in body["entries"]}

    # --- the handshake

    async def begin(self, requested: list[str] | None = None) -> Initiator:
        """A handshake that has sent nothing yet."""
        self.session = None
        manifest = await self.manifest()
        return Initiator(self.agent, manifest, manifest["offered_capabilities"] if requested is None else requested)

    async def send_hello(self, initiator: Initiator, hello: Envelope) -> Reply:
        reply = await self.post(self.place(initiator, "hello"), hello)
        self.session = reply.headers.get(SESSION.lower())
        return reply

    async def send_commit(self, initiator: Initiator, commit: Envelope, session: str | None = None) -> Reply:
        """In the binding's style with the session header that came with the acknowledgement, or another one."""
        headers = {}
        if self.style == "binding" and (given := session or self.session):
            headers[SESSION] = given
        return await self.post(self.place(initiator, "commit"), commit, headers)

    def place(self, initiator: Initiator, message: str) -> str:
        """Where a message goes: to the endpoint itself (RFC-AITP-0004 10), or below it (HTTP binding)."""
        endpoint = str(initiator.peer["handshake_endpoint"])
        return endpoint if self.style == "rfc" else urljoin(endpoint, message)

    async def greet(self, requested: list[str] | None = None) -> Initiator:
        """As far as the peer's acknowledgement. Raises :class:`Refused`, ``AitpError``."""
        initiator = await self.begin(requested)
        initiator.take_ack(self.wanted(await self.send_hello(initiator, initiator.hello())))
        return initiator

    async def shake(self, requested: list[str] | None = None) -> Grant:
        """A whole handshake: what the peer granted, which is then held. Raises :class:`Refused`, ``AitpError``."""
        initiator = await self.greet(requested)
        return initiator.take_commit_ack(self.wanted(await self.send_commit(initiator, initiator.commit())))

    # --- calls under a token

    async def challenge(self, tct: str) -> dict[str, Any]:
        """The members of a challenge for that token, given by the peer. Raises :class:`Refused`, ``AitpError``."""
        reply = await self.post("/aitp/pop/challenge", {}, {"X-AITP-TCT": tct})
        return possession.challenge_in(self.agent, self.wanted(reply), self.peer_aid)

    async def prove(self, tct: str, *, header: str = possession.HEADERS[0], bare: bool = False) -> dict[str, str]:
        """Headers of one call: the token, and the proof that it is ours."""
        members = possession.response(self.agent, await self.challenge(tct))
        proof = possession.as_header(members) if bare else possession.in_envelope(self.agent, members)
        return {"X-AITP-TCT": tct, header: proof}

    async def call(self, capability: str, task: Any = None, *, tct: str | None = None, **how: Any) -> Reply:
        """Use what the peer granted; ``how`` as in :meth:`prove`."""
        token = tct or self.agent.held[self.peer_aid].tct
        return await self.present(capability, await self.prove(token, **how), task)

    async def present(self, capability: str, headers: dict[str, str], task: Any = None) -> Reply:
        return await self.post(f"/capabilities/{capability}", {} if task is None else task, headers)

    async def renew(self, *, tct: str | None = None, **changes: Any) -> Reply:
        """Ask for another token in the place of one, with the proof that a call would carry (RFC-AITP-0004 8.1)."""
        token = tct or self.agent.held[self.peer_aid].tct
        request = {**possession.renewal(self.agent, token), **changes}
        return await self.post("/aitp/tct/renew", request, await self.prove(token))

    async def bundle(self, ref: str) -> Reply:
        """A session bundle that the peer has signed (RFC-AITP-0010)."""
        proof = await self.prove(self.agent.held[self.peer_aid].tct)
        return await self.post(f"/aitp/session-bundles/{ref}", {}, proof)

    # --- redemption

    async def redeem(self, delegation: str, **changes: Any) -> Reply:
        """Show a delegation to the owner, with the proof for its challenge (RFC-AITP-0006 4, 8)."""
        reply = await self.post("/aitp/delegation/challenge", {"delegation_token": delegation})
        challenge = possession.challenge_in(self.agent, self.wanted(reply), self.peer_aid)
        return await self.redeem_under(challenge, delegation, **changes)

    async def redeem_under(self, challenge: dict[str, Any], delegation: str, **changes: Any) -> Reply:
        """The same under a given challenge; the caller's AID is the envelope's sender."""
        payload = {"delegation_token": delegation, **possession.response(self.agent, challenge), **changes}
        payload = {name: value for name, value in payload.items() if value is not None}
        return await self.post("/aitp/delegation/redeem", self.agent.message("pop_response", payload))
