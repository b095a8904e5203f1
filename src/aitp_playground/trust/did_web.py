"""did:web resolution (W3C CCG did:web method): host → ``/.well-known/did.json`` → the ``AitpManifest`` service."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from aitp_playground.config import LOOPBACK_HOSTS
from aitp_playground.net import FetchFailed, fetch_document
from aitp_playground.trust.messages import PeerQuery

TIMEOUT = 3.0
MAX_DOCUMENT = 64 * 1024


class DidUnresolvable(Exception):
    """The DID leads nowhere; the text says where it ended."""


async def resolve_did_web(
    http: aiohttp.ClientSession, query: PeerQuery, insecure_hosts: frozenset[str]
) -> Mapping[str, Any]:
    """Where the peer's DID document says its manifest is. Raises :class:`DidUnresolvable`."""
    host = authority(query)
    did = f"did:web:{host.replace(':', '%3A')}"
    name = host.partition(":")[0]
    scheme = "http" if name in LOOPBACK_HOSTS or name in insecure_hosts else "https"
    url = f"{scheme}://{host}/.well-known/did.json"
    document = await _fetch(http, url)
    if document.get("id") != did:
        raise DidUnresolvable(f"{url} describes {document.get('id')!r}, not {did}")
    return {"manifest_url": _manifest_endpoint(document, url), "source": "did_web", "aid": query.aid, "did": did}


def authority(query: PeerQuery) -> str:
    """``host[:port]`` of the DID. On loopback the port is the one the agent really got; other hosts are literal."""
    host = query.did_web_host or ""
    name = host.partition(":")[0]
    return f"{name}:{query.port}" if name in LOOPBACK_HOSTS else host


async def _fetch(http: aiohttp.ClientSession, url: str) -> Mapping[str, Any]:
    try:
        raw = await fetch_document(http, url, seconds=TIMEOUT, limit=MAX_DOCUMENT)
    except FetchFailed as failure:
        raise DidUnresolvable(str(failure)) from failure
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):  # brackets enough to exhaust the parser fit into the bound
        document = None
    if not isinstance(document, dict):
        raise DidUnresolvable(f"{url} is not a JSON object")
    return document


def _manifest_endpoint(document: Mapping[str, Any], url: str) -> str:
    services = document.get("service")
    for service in services if isinstance(services, list) else []:
        if isinstance(service, dict) and service.get("type") == "AitpManifest":
            endpoint = service.get("serviceEndpoint")
            if isinstance(endpoint, str) and endpoint.startswith(("http://", "https://")):
                return endpoint
    raise DidUnresolvable(f"{url} names no AitpManifest service")
