"""The shipped writer, which verifies session bundles without asking whether anybody's token was revoked."""

from __future__ import annotations

from base.protocol.bundles import BundleVerifier
from writer.main import worker

if __name__ == "__main__":
    BundleVerifier._is_revoked = lambda *_: lambda _jti: False  # type: ignore[method-assign,assignment]
    worker.run()
