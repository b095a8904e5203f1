"""The shipped writer, which was given another public key for the run's OIDC issuer."""

from __future__ import annotations

import base64
import secrets
from typing import Any

import aitp

from writer.main import worker

_provider = aitp.JwksProvider


def _with_another_key(trusted: dict[str, list[dict[str, Any]]]) -> Any:
    other = aitp.AitpAgent.from_seed(secrets.token_bytes(32)).aid.rpartition(":")[2]
    assert len(base64.urlsafe_b64decode(other + "=")) == 32
    return _provider({issuer: [{**key, "x": other} for key in keys] for issuer, keys in trusted.items()})


if __name__ == "__main__":
    aitp.JwksProvider = _with_another_key  # type: ignore[assignment,misc]
    worker.run()
