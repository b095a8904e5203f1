"""What the installed protocol SDK offers, found by looking. Nothing here fails when it is missing or broken."""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any

#: Per feature, the names that must all be there (dots step into a class).
FEATURES: dict[str, tuple[str, ...]] = {
    "oidc": ("JwksProvider",),
    "session_bundle": ("SessionBundleBuilder.build", "verify_session_bundle"),
    "spki_pinning": ("SpkiPinVerifier.is_pinned", "compute_spki_hash"),
    "tct_renewal": ("AitpAgent.build_renewal_request", "AitpAgent.process_renewal_request"),
    "tct_cache": ("TctStore", "AitpAgent.verify_tct_cached"),
    "multihop_delegation": ("verify_delegation_multihop",),
}


def probe() -> dict[str, Any]:
    """``{"sdk_available", "version", "features"}``. Blocks while the SDK is first imported."""
    sdk = _load()
    return {
        "sdk_available": sdk is not None,
        "version": _version(),
        "features": {name: all(_has(sdk, path) for path in paths) for name, paths in FEATURES.items()},
    }


def missing(feature: str) -> str | None:
    """Why a step that needs the feature cannot be taken, as a sentence; None when it can."""
    sdk = _load()
    lacking = next((path for path in FEATURES[feature] if not _has(sdk, path)), None)
    return None if lacking is None else f"feature not available: the installed aitp-sdk has no {feature} ({lacking})"


def _load() -> Any:
    """The SDK module, or None. A native module that panics raises a BaseException of its own making."""
    try:
        return importlib.import_module("aitp")
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - see above: whatever a broken SDK does at import, it is not available
        return None


def _version() -> str | None:
    try:
        return importlib.metadata.version("aitp-sdk")
    except Exception:  # noqa: BLE001 - missing, or metadata too damaged to parse
        return None


def _has(holder: Any, path: str) -> bool:
    try:
        for name in path.split("."):
            holder = getattr(holder, name)
    except Exception:  # noqa: BLE001 - an attribute that cannot be looked at is not there
        return False
    return callable(holder)
