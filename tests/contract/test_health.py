"""Health, identity and metrics, for whoever asks."""

from __future__ import annotations

import aitp

from tests.contract.wire import ControlPlane


async def test_health_tells_the_identity(cp: ControlPlane) -> None:
    health = (await cp.get("/api/health", key=None)).json()

    assert health.pop("aid").startswith("aid:pubkey:")
    assert health == {"ok": True, "service": "aitp-control-plane", "db": "ok"}


async def test_it_says_when_it_is_ready(cp: ControlPlane) -> None:
    assert (await cp.get("/api/readyz", key=None)).json() == {"ready": True}


async def test_the_manifest_is_its_own_and_verifies(cp: ControlPlane) -> None:
    manifest = await cp.get("/.well-known/aitp-manifest", key=None)

    aitp.verify_manifest_json(manifest.body.decode())
    assert manifest.json()["manifest"]["aid"] == (await cp.get("/api/health", key=None)).json()["aid"]


async def test_metrics_are_text(cp: ControlPlane) -> None:
    metrics = await cp.get("/api/metrics", key=None)

    assert metrics.status == 200
    assert metrics.headers["Content-Type"].startswith("text/plain")
