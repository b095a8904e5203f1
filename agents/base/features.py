"""What the installed SDK can do beside the core of the protocol: an agent whose SDK lacks something says so."""

from __future__ import annotations

from collections.abc import Mapping

import aitp

from base.refusals import Fault

#: Per feature, the names that must all be there (dots step into a class).
FEATURES: Mapping[str, tuple[str, ...]] = {
    "oidc": ("JwksProvider",),
    "session_bundle": ("SessionBundleBuilder.build", "verify_session_bundle"),
    "tct_cache": ("TctStore", "AitpAgent.verify_tct_cached"),
    "tct_renewal": ("AitpAgent.build_renewal_request", "AitpAgent.process_renewal_request"),
}


def has_feature(name: str) -> bool:
    """Whether the SDK has all that it takes."""
    return _lacking(name) is None


def require_feature(name: str) -> None:
    """Raises 501 ``feature_unavailable`` when the SDK lacks it."""
    if (path := _lacking(name)) is not None:
        raise Fault(501, "feature_unavailable", f"the installed aitp-sdk has no {name} ({path})")


def _lacking(name: str) -> str | None:
    for path in FEATURES[name]:
        holder: object = aitp
        for part in path.split("."):
            holder = getattr(holder, part, None)
        if not callable(holder):
            return path
    return None
