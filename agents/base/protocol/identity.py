"""The agent's key and its manifest."""

from __future__ import annotations

import json
import time
from typing import Any

import aitp

from base.aids import same_key
from base.process.bootstrap import Bootstrap

MANIFEST_PATH = "/.well-known/aitp-manifest"
#: What the manifest names, as it stands: the standard has a hello and a commit posted there, the HTTP binding joins
#: ``hello`` and ``commit`` to it. Everything is taken everywhere.
HANDSHAKE_PATH = "/aitp/handshake/"


class Identity:
    """Who this agent is: one SDK agent with a manifest that is minted anew at half its life.

    Sessions copy the manifest when they are made, so an old one must never be near its end.
    """

    def __init__(self, bootstrap: Bootstrap) -> None:
        self._bootstrap = bootstrap
        self.offered = list(bootstrap.offered_caps)
        self._agent = aitp.AitpAgent.from_seed(bootstrap.seed, bootstrap.signing_suite)
        self._manifest = ""
        self._fresh_until = 0.0
        self._expires_at = 0
        #: Every AID under which this agent's own tokens may have been issued.
        self.own_aids = frozenset({self.aid})

    @property
    def aid(self) -> str:
        return self._agent.aid

    def is_own(self, aid: object) -> bool:
        """Whether that is an AID of this agent's, in either of its spellings. What is no text is nobody's."""
        return any(same_key(aid, own) for own in self.own_aids)

    def rotate(self) -> None:
        """Be another from now on: a key that is made here, and a manifest that it signs."""
        self._agent = aitp.AitpAgent.generate(self._bootstrap.signing_suite)
        self.own_aids = frozenset({self.aid})
        self.mint()

    def agent(self) -> aitp.AitpAgent:
        """The SDK agent, its manifest fresh."""
        self.manifest()
        return self._agent

    def manifest(self) -> str:
        """The current manifest document, as published."""
        if time.monotonic() >= self._fresh_until:
            self.mint()
        return self._manifest

    def published(self) -> tuple[str, int]:
        """The current manifest document and when it expires, in Unix seconds."""
        return self.manifest(), self._expires_at

    def mint(self) -> None:
        """Replace the manifest now. Tokens issued afterwards may live as long as the new one."""
        given = self._bootstrap
        options: dict[str, Any] = {"accepted_identity_types": list(given.accepted_identity_types)}
        if given.oidc is not None:
            options["accepted_trust_anchors"] = list(given.oidc.trusted)
            if given.identity_type == "oidc":
                options |= {"oidc_issuer": given.oidc.issuer, "oidc_subject": given.oidc.subject}
        self._manifest = self._agent.build_manifest(
            given.display_name,
            given.base_url + HANDSHAKE_PATH,
            self.offered,
            ttl_secs=given.ttl_secs,
            identity_type=given.identity_type,
            revocation_list_uri=given.base_url + aitp.REVOCATION_LIST_PATH,
            **options,
        )
        self._fresh_until = time.monotonic() + given.ttl_secs / 2
        self._expires_at = json.loads(self._manifest)["manifest"]["expires_at"]
