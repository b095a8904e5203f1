"""Messages by the ``anthropic`` package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anthropic

from base.text.providers.reading import body_of, part
from base.text.providers.wire import NO_KEY, failure, http_client, refusal
from base.text.rewording import LlmError

if TYPE_CHECKING:
    from base.process.bootstrap import LlmConfig


class Provider:
    """One model of one server."""

    def __init__(self, config: LlmConfig) -> None:
        self._model = config.model
        self._client = anthropic.AsyncAnthropic(
            api_key=NO_KEY,
            base_url=config.base_url.removesuffix("/v1"),
            max_retries=0,
            timeout=None,
            open_telemetry=False,
            http_client=http_client({"x-api-key": config.api_key} if config.api_key else {}),
        )
        # Looking these up imports further modules.
        self._create = self._client.messages.with_raw_response.create

    async def ask(self, system: str, prompt: str, max_tokens: int) -> str:
        """The text of one answer. Raises LlmError."""
        try:
            answer = await self._create(
                model=self._model,
                system=system,
                messages=[{"role": "user", "content": prompt}],
                max_tokens=max_tokens,
            )
            return _text(answer.http_response.content)
        except anthropic.APIStatusError as error:
            failed = refusal(error.response)
        except anthropic.AnthropicError as error:
            failed = failure(error)
        # Out here it does not lead back to the package's error, which quotes what the server said.
        raise failed

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()


def _text(raw: bytes) -> str:
    # The package would make objects of whatever came, as many as there are values.
    body = body_of(raw)
    blocks, why = part(body, "content"), part(body, "stop_reason", missing=True)
    if why == "refusal":
        raise LlmError("refusal", 200)
    if why in ("max_tokens", "model_context_window_exceeded"):
        raise LlmError("cut", 200)
    if not isinstance(blocks, list):
        raise LlmError("bad_shape", 200)
    texts = [part(block, "text") for block in blocks if part(block, "type") == "text"]
    if not all(isinstance(text, str) for text in texts):
        raise LlmError("bad_shape", 200)
    return "".join(texts)
