"""Verifying this agent's own tokens, and remembering those that verified, where the SDK can."""

from __future__ import annotations

from collections import OrderedDict

import aitp

from base.features import has_feature, require_feature
from base.protocol.possession import digest

MAX_CACHED = 1000


class VerifiedTokens:
    """Tokens whose signature need not be checked again; everything else is, each time.

    An SDK without a store checks the signature each time as well: slower, and as strict.
    """

    def __init__(self, limit: int = MAX_CACHED) -> None:
        self._store = aitp.TctStore(limit) if has_feature("tct_cache") else None

    def verify(self, agent: aitp.AitpAgent, token: str, grant: str, holder: str, revoked: set[str]) -> aitp.TctIdentity:
        """Whether ``token`` grants this to ``holder``, whose key was proven. Raises what the SDK raises."""
        if self._store is None:
            return agent.verify_tct(token, grant, expected_audience=holder, revoked_jtis=revoked)
        return agent.verify_tct_cached(token, grant, self._store, expected_audience=holder, revoked_jtis=revoked)

    def __len__(self) -> int:
        return 0 if self._store is None else self._store.len()


class TokenCache:
    """The same for calls, with counters of our own: the SDK's store tells neither hits nor what it evicted."""

    def __init__(self, limit: int = MAX_CACHED) -> None:
        self._verified = VerifiedTokens(limit)
        self._limit = limit
        self._inside: OrderedDict[bytes, None] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def verify(self, agent: aitp.AitpAgent, token: str, grant: str, holder: str, revoked: set[str]) -> aitp.TctIdentity:
        """As :meth:`VerifiedTokens.verify`, and count one look-up."""
        name = digest(token)
        if name in self._inside:
            self.hits += 1
        else:
            self.misses += 1
        verified = self._verified.verify(agent, token, grant, holder, revoked)
        # Like the store, forget the oldest, however often it was used.
        self._inside.setdefault(name)
        if len(self._inside) > self._limit:
            self._inside.popitem(last=False)
        return verified

    def stats(self) -> dict[str, int | bool]:
        """``{"enabled", "hits", "misses", "size"}``. Raises 501 ``feature_unavailable``."""
        require_feature("tct_cache")
        return {"enabled": True, "hits": self.hits, "misses": self.misses, "size": len(self._verified)}
