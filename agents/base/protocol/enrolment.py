"""Registering this agent with the Control Plane: the same manifest twice, first as the proof, then as the entry."""

from __future__ import annotations

from typing import Any

from base.http.peer_client import Answer, PeerClient
from base.process.bootstrap import Bootstrap
from base.protocol.control_plane import EXCHANGE_TIMEOUT, failure_of, refusal_of
from base.protocol.identity import Identity
from base.refusals import PeerFailed, malformed
from base.telemetry import Telemetry

#: Seconds; the registry takes only manifests that live longer than its own tokens do.
SHORTEST_MANIFEST = 300
NAMESPACE_HEADER = "X-Aitp-Namespace"
MAX_NAMESPACE = 128


class _Refused(Exception):
    """One of the two exchanges failed; ``told`` is what may be said about it."""

    def __init__(self, stage: str, reason: str, **about: Any) -> None:
        super().__init__(reason)
        self.told = {"error": reason, "stage": stage} | {name: value for name, value in about.items() if value}


class Enrolment:
    """Enrols at the one Control Plane that the bootstrap names. A failure is an answer, never an error."""

    def __init__(self, bootstrap: Bootstrap, identity: Identity, client: PeerClient, telemetry: Telemetry) -> None:
        self._bootstrap = bootstrap
        self._identity = identity
        self._client = client
        self._telemetry = telemetry

    async def enroll(self, namespace: str | None) -> dict[str, Any]:
        """``{"enrolled": True, "aid", "registered_at", "token_expires_in"}``, or ``{"enrolled": False}`` and why.

        Why: ``skipped`` when there is no Control Plane; else ``error``, a reason class, with ``stage`` (``enroll`` or
        ``register``) and the ``status`` and ``code`` of its answer if it gave one. Raises 400 for a bad namespace.
        """
        if namespace is not None and not _is_header_text(namespace):
            raise malformed(f"namespace: not printable ASCII of at most {MAX_NAMESPACE} characters")
        if self._bootstrap.cp is None:
            return {"enrolled": False, "skipped": "no cp"}
        try:
            outcome = await self._enroll(self._bootstrap.cp.url, namespace)
        except _Refused as refused:
            told = dict(refused.told)
            self._telemetry.emit("cp.enroll_failed", aid=self._identity.aid, cause=told["error"], **told)
            return {"enrolled": False} | told
        about = {"namespace": namespace, "registered_at": outcome["registered_at"]}
        self._telemetry.emit("cp.enroll_succeeded", aid=self._identity.aid, payload=about)
        return {"enrolled": True, "aid": self._identity.aid} | outcome

    async def _enroll(self, base: str, namespace: str | None) -> dict[str, Any]:
        if self._bootstrap.ttl_secs <= SHORTEST_MANIFEST:
            raise _Refused("enroll", "manifest_too_short")
        # The registry drops an entry when its manifest expires, so it gets one with all its life ahead.
        self._identity.mint()
        manifest = self._identity.manifest()
        given = await self._post("enroll", f"{base}/api/registry/enroll", manifest, {}, 200)
        token, expires_in = given.get("token"), given.get("expiresIn")
        if not (isinstance(token, str) and _is_header_text(token, 8192) and isinstance(expires_in, int)):
            raise _Refused("enroll", "bad_shape")
        headers = {"Authorization": f"Bearer {token}"} | ({NAMESPACE_HEADER: namespace} if namespace else {})
        entry = await self._post("register", f"{base}/api/registry/agents", manifest, headers, 200, 201)
        registered_at = entry.get("registeredAt")
        if not isinstance(registered_at, str) or len(registered_at) > 100:
            raise _Refused("register", "bad_shape")
        return {"registered_at": registered_at, "token_expires_in": expires_in}

    async def _post(
        self, stage: str, url: str, manifest: str, headers: dict[str, str], *expected: int
    ) -> dict[str, Any]:
        """The answer's object, about this agent and no other."""
        try:
            answer = await self._client.post(url, manifest, headers, timeout=EXCHANGE_TIMEOUT)
            if reason := refusal_of(answer, *expected):
                raise _Refused(stage, reason, status=answer.status, code=_code_of(answer))
            body = answer.json()
        except PeerFailed as failed:
            raise _Refused(stage, failure_of(failed)) from None
        if not isinstance(body, dict) or body.get("aid") != self._identity.aid:
            raise _Refused(stage, "bad_shape", status=answer.status)
        return body


def _code_of(answer: Answer) -> str | None:
    """The Control Plane's own word, ``{"error", "code"}``; many of its failures have no body at all."""
    try:
        body = answer.json()
    except PeerFailed:
        return None
    code = body.get("code") if isinstance(body, dict) else None
    return code[:100] if isinstance(code, str) else None


def _is_header_text(value: str, limit: int = MAX_NAMESPACE) -> bool:
    return 0 < len(value) <= limit and value.isascii() and value.isprintable()
