"""Agents as the registry sees them: real keys, really signed manifests."""

from __future__ import annotations

import json
import os
from typing import Any, Literal

import aitp

from tests.contract.wire import Answer, ControlPlane

Suite = Literal["ed25519", "p256"]


class Agent:
    """An agent that can enroll; nobody listens at its endpoint."""

    def __init__(
        self, name: str, *caps: str, suite: Suite = "ed25519", endpoint: str = "http://localhost:1/aitp"
    ) -> None:
        self.name = name
        self.caps = caps or (f"demo.{name}",)
        self.endpoint = endpoint
        self.keys = aitp.AitpAgent.from_seed(os.urandom(32), suite)
        self.aid: str = self.keys.aid

    def manifest(self, ttl: int = 7200) -> str:
        """A fresh manifest, as the SDK writes it."""
        text: str = self.keys.build_manifest(self.name, self.endpoint, list(self.caps), ttl_secs=ttl)
        return text

    def altered(self, manifest: str, **changes: Any) -> str:
        """The manifest with other members and the old signature; None removes a member."""
        envelope = json.loads(manifest)
        envelope["manifest"] = {k: v for k, v in {**envelope["manifest"], **changes}.items() if v is not None}
        return json.dumps(envelope)


async def enroll(cp: ControlPlane, manifest: str) -> str:
    """The token of an enrolment."""
    token: str = (await cp.post("/api/registry/enroll", data=manifest, key=None)).json()["token"]
    return token


async def register(cp: ControlPlane, manifest: str, token: str, **headers: str) -> Answer:
    """Register with a token; headers by name, ``_`` for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await cp.post("/api/registry/agents", data=manifest, key=token, headers=named)


async def registered(cp: ControlPlane, agent: Agent, namespace: str | None = None) -> str:
    """Enroll and register; returns the manifest."""
    manifest = agent.manifest()
    headers = {"X_Aitp_Namespace": namespace} if namespace is not None else {}
    answer = await register(cp, manifest, await enroll(cp, manifest), **headers)
    assert answer.status == 201, answer
    return manifest


async def listed(cp: ControlPlane, **query: Any) -> list[dict[str, Any]]:
    """Public discovery."""
    found: list[dict[str, Any]] = (await cp.get("/api/registry/agents", key=None, **query)).json()["agents"]
    return found
