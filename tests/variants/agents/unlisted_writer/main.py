"""The shipped writer with a manifest that does not say where its revocation list is."""

from __future__ import annotations

from typing import Any

from base.process.bootstrap import Bootstrap
from base.protocol.identity import Identity
from writer.main import worker


class _Silent:
    """The SDK's agent, but for its manifest."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._agent, name)

    def build_manifest(self, *args: Any, **options: Any) -> str:
        del options["revocation_list_uri"]
        manifest: str = self._agent.build_manifest(*args, **options)
        return manifest


class _Identity(Identity):
    def __init__(self, bootstrap: Bootstrap) -> None:
        super().__init__(bootstrap)
        self._agent = _Silent(self._agent)  # type: ignore[assignment]


if __name__ == "__main__":
    import base.agent

    base.agent.Identity = _Identity  # type: ignore[misc]
    worker.run()
