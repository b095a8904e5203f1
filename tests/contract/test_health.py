"""Health, identity and metrics, for whoever asks."""

from __future__ import annotations

import aitp
from yarl import URL

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


async def test_the_manifest_offers_nothing_and_names_an_address_below_api(cp: ControlPlane) -> None:
    manifest = (await cp.get("/.well-known/aitp-manifest", key=None)).json()["manifest"]

    assert manifest["offered_capabilities"] == []
    assert URL(manifest["handshake_endpoint"]).path.startswith("/api/aitp/")


async def test_the_well_known_documents_have_a_second_address(cp: ControlPlane) -> None:
    own = (await cp.get("/api/health", key=None)).json()["aid"]

    aitp.verify_manifest_json((await cp.get("/api/well-known/aitp-manifest", key=None)).body.decode())
    listed = await cp.get("/api/well-known/aitp-revocation-list", key=None)
    aitp.verify_revocation_list(listed.body.decode(), own)


async def test_without_any_keys_every_guarded_route_is_503(own_cp: ControlPlane) -> None:
    await own_cp.post("/dev/switches", {"fault": "no_keys"})

    for method, path in (("GET", "/api/sessions"), ("POST", "/api/events"), ("GET", "/api/no-such-thing")):
        assert (await own_cp.ask(method, path)).refusal() == (503, "SERVER_MISCONFIGURED")
    assert (await own_cp.get("/api/health", key=None)).status == 200
