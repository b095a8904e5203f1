"""The shipped writer with a manifest that does not say where its revocation list is."""

from __future__ import annotations

from typing import Any

from base.protocol.identity import Speaker
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


class _Speaker(Speaker):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._agent = _Silent(self._agent)  # type: ignore[assignment]


if __name__ == "__main__":
    import base.protocol.identity as identity

    identity.Speaker = _Speaker  # type: ignore[misc]
    worker.run()
