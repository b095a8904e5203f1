"""OIDC identities: whom to believe, and getting an ID token for a handshake of one's own.

The issuer's key is never here. An agent with an OIDC identity asks the service for each ID token, bound to the nonce of
one handshake and to the peer as its audience.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeVar

import aitp

from base.features import has_feature, require_feature
from base.http.peer_client import PeerClient
from base.process.bootstrap import OidcConfig
from base.protocol.identity import Identity
from base.refusals import Fault, PeerFailed

TOKEN_TIMEOUT = 5.0

_T = TypeVar("_T")
Mint = Callable[[str], str]


class OidcTrust:
    """What a handshake session needs of OIDC, on either side."""

    def __init__(self, config: OidcConfig | None, identity: Identity, client: PeerClient) -> None:
        self._config = config
        self._identity = identity
        self._client = client
        self._jwks = None
        if config is not None and has_feature("oidc"):
            self._jwks = aitp.JwksProvider({issuer: list(keys) for issuer, keys in config.trusted.items()})

    @staticmethod
    def require_for(identity_type: object) -> None:
        """Raises 501 ``feature_unavailable`` when the SDK cannot verify what an agent of this type shows."""
        if identity_type == "oidc":
            require_feature("oidc")

    def session_options(self) -> dict[str, Any]:
        """Keyword arguments for a new SDK session or responder."""
        if self._config is None:
            return {}
        return {"jwks": self._jwks, "trust_anchors": list(self._config.trusted)}

    async def present(self, step: Callable[..., _T], *arguments: Any, audience: str) -> _T:
        """Run a handshake step that presents this agent's identity to ``audience``.

        The SDK asks for the ID token by a synchronous callback in the middle of the step, so an agent with an OIDC
        identity runs the step in a thread, where that callback may wait for the loop. Raises what the step raises, and
        ``PeerFailed`` when the token could not be had.
        """
        if self._config is None or self._config.token_url is None:
            return step(*arguments)
        loop = asyncio.get_running_loop()
        failures: list[Fault] = []

        def mint(nonce: str) -> str:
            try:
                return asyncio.run_coroutine_threadsafe(self._fetch(nonce, audience), loop).result(TOKEN_TIMEOUT)
            except Fault as fault:
                # The SDK makes one opaque refusal of whatever the callback raises.
                failures.append(fault)
                raise

        try:
            return await asyncio.to_thread(step, *arguments, mint)
        except RuntimeError:
            if failures:
                raise failures[0] from None
            raise

    async def _fetch(self, nonce: str, audience: str) -> str:
        assert self._config is not None
        assert self._config.token_url is not None
        url = self._config.token_url
        body = json.dumps({"aid": self._identity.aid, "audience": audience, "nonce": nonce})
        headers = {"Authorization": f"Bearer {self._config.token}"}
        answer = (await self._client.post(url, body, headers, timeout=TOKEN_TIMEOUT)).expect_ok().json()
        token = answer.get("id_token") if isinstance(answer, dict) else None
        if not isinstance(token, str):
            raise PeerFailed("protocol", "the issuer gave no ID token", url=url, peer_code="id_token_missing")
        return token
