"""Discovery through the Control Plane's registry: its offers are claims until a live, verified manifest agrees.

The registry lists the longest registered first, dead agents among them, and serves what was registered without looking
at its signature again. So each candidate's own manifest is fetched from where it claims to be, verified, and compared.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import aitp

from aitp_playground.events.model import EventDraft, draft
from aitp_playground.net import FetchFailed, NotJson, fetch_document

#: Seconds for one candidate's manifest, and for all of them.
CANDIDATE_TIMEOUT = 1.0
TOTAL_TIMEOUT = 3.0
#: How many candidates are looked at, and how many at once.
MAX_CANDIDATES = 40
AT_ONCE = 8
MAX_MANIFEST = 64 * 1024
#: How the reason of a fallback begins when the registry did not answer; a reason class follows.
FAILED = "cp_failed:"
MANIFEST_PATH = "/.well-known/aitp-manifest"
#: What a handshake endpoint of this project's agents has below the place where their manifest is too.
_HANDSHAKE_PATHS = ("/aitp/handshake/hello", "/aitp/handshake/", "/aitp/handshake")


class Misfit(Exception):
    """A candidate that will not do. ``reason`` is one of ``trust.peers_resolved``'s."""

    def __init__(self, reason: str, url: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.url = url


async def first_fit(
    http: aiohttp.ClientSession, rows: Sequence[Mapping[str, Any]], capability: str, greeted_as: AbstractSet[str]
) -> tuple[dict[str, Any] | None, list[dict[str, str]]]:
    """The first candidate, in the registry's order, that is alive, what it claims to be, and takes who greets it so;
    and those passed over.

    ``{"manifest_url", "aid"}`` or None; each of the others as ``{"url", "reason"}``.
    """
    tried: list[dict[str, str]] = []
    try:
        async with asyncio.timeout(TOTAL_TIMEOUT):
            for start in range(0, min(len(rows), MAX_CANDIDATES), AT_ONCE):
                group = rows[start : start + AT_ONCE]
                looks = await asyncio.gather(*(_look(http, row, capability, greeted_as) for row in group))
                for found in looks:
                    if not isinstance(found, Misfit):
                        return found, tried
                    tried.append({"url": found.url, "reason": found.reason})
    except TimeoutError:
        pass
    return None, tried


def unasked(peers: Iterable[Mapping[str, Any]]) -> list[EventDraft]:
    """``cp.degraded`` for each reason class for which the registry gave no answer about some of these peers.

    A scenario about the registry shows nothing when the registry was never asked, whatever the fallback does.
    """
    reasons = {str(peer.get("reason", "")) for peer in peers}
    classes = sorted(reason.removeprefix(FAILED) for reason in reasons if reason.startswith(FAILED))
    return [draft("cp.degraded", operation="discover_by_capability", cause=each) for each in classes]


async def _look(
    http: aiohttp.ClientSession, row: Mapping[str, Any], capability: str, greeted_as: AbstractSet[str]
) -> dict[str, Any] | Misfit:
    try:
        return await _verified(http, row, capability, greeted_as)
    except Misfit as misfit:
        return misfit


async def _verified(
    http: aiohttp.ClientSession, row: Mapping[str, Any], capability: str, greeted_as: AbstractSet[str]
) -> dict[str, Any]:
    url = manifest_url(row)
    raw = await _fetch(http, url)
    try:
        aitp.verify_manifest_json(raw)
        manifest = json.loads(raw)["manifest"]
    except (RuntimeError, ValueError, KeyError, TypeError, RecursionError):
        raise Misfit("manifest_invalid", url) from None
    if manifest["aid"] != row.get("aid"):
        raise Misfit("aid_mismatch", url)
    if capability not in manifest["offered_capabilities"]:
        raise Misfit("capability_mismatch", url)
    # None named means oidc alone: RFC-AITP-0003, section 3.2.
    if not greeted_as <= set(manifest.get("accepted_identity_types", ("oidc",))):
        raise Misfit("identity_mismatch", url)
    # The word of an issuer counts only where its key is at hand, and a run has none but its own issuers' keys.
    if manifest["identity_hint"]["type"] != "pinned_key":
        raise Misfit("identity_mismatch", url)
    if _origin(manifest["handshake_endpoint"]) != _origin(url):
        # Else the registry would decide to whom the handshake goes, whatever the agent itself says.
        raise Misfit("manifest_invalid", url)
    return {"manifest_url": url, "aid": manifest["aid"]}


def manifest_url(row: Mapping[str, Any]) -> str:
    """Where a registered agent serves its manifest, from its handshake endpoint, whichever name the row has for that.

    At the root of its host (RFC-AITP-0003, section 4.1), or above the paths that this project's agents have.
    """
    endpoint = row.get("handshakeEndpoint") or row.get("handshake_endpoint")
    if not isinstance(endpoint, str) or not endpoint.startswith(("http://", "https://")):
        raise Misfit("manifest_invalid", str(endpoint)[:200])
    for path in _HANDSHAKE_PATHS:
        if endpoint.endswith(path):
            return endpoint.removesuffix(path) + MANIFEST_PATH
    scheme, host = _origin(endpoint) or ("http", "")
    return f"{scheme}://{host}{MANIFEST_PATH}"


def _origin(url: Any) -> tuple[str, str] | None:
    try:
        parts = urlsplit(url)
    except (ValueError, AttributeError, TypeError):
        return None
    return parts.scheme, parts.netloc


async def _fetch(http: aiohttp.ClientSession, url: str) -> str:
    try:
        return (await fetch_document(http, url, seconds=CANDIDATE_TIMEOUT, limit=MAX_MANIFEST, as_json=True)).decode()
    except NotJson:
        raise Misfit("manifest_invalid", url) from None
    except (FetchFailed, UnicodeDecodeError):
        raise Misfit("none_alive", url) from None
