"""Chat completions by the ``openai`` package: OpenAI's own, and every server that speaks like it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import openai

from base.text.providers.reading import body_of, part
from base.text.providers.wire import NO_KEY, failure, http_client, refusal
from base.text.rewording import LlmError

if TYPE_CHECKING:
    from base.process.bootstrap import LlmConfig

#: OpenAI's newer models refuse the old name of the limit, and other servers may not know the new one.
_NEW: Final = "max_completion_tokens"
_OLD: Final = "max_tokens"


class Provider:
    """One model of one server."""

    def __init__(self, config: LlmConfig) -> None:
        self._model = config.model
        self._limit = _NEW if urlsplit(config.base_url).hostname == "api.openai.com" else _OLD
        self._client = openai.AsyncOpenAI(
            api_key=NO_KEY,
            base_url=config.base_url,
            max_retries=0,
            timeout=None,
            http_client=http_client({"Authorization": f"Bearer {config.api_key}"} if config.api_key else {}),
        )
        # Looking these up imports further modules.
        self._create = self._client.chat.completions.with_raw_response.create

    async def ask(self, system: str, prompt: str, max_tokens: int) -> str:
        """The text of one answer. Raises LlmError."""
        try:
            try:
                return _text(await self._asked(system, prompt, max_tokens))
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if self._limit not in error.response.text:
                    raise
            # The server says that this name of the limit is none, so it is the other one from here on.
            self._limit = _OLD if self._limit == _NEW else _NEW
            return _text(await self._asked(system, prompt, max_tokens))
        except openai.APIStatusError as error:
            failed = refusal(error.response)
        except openai.OpenAIError as error:
            failed = failure(error)
        # Out here it does not lead back to the package's error, which quotes what the server said.
        raise failed

    async def _asked(self, system: str, prompt: str, max_tokens: int) -> bytes:
        # No temperature: there are models that refuse any but their own.
        answer = await self._create(
            model=self._model,
            messages=[{"role": "system", "content": system}, {"role": "user", "content": prompt}],
            max_completion_tokens=max_tokens if self._limit == _NEW else openai.omit,
            max_tokens=max_tokens if self._limit == _OLD else openai.omit,
        )
        return bytes(answer.http_response.content)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()


def _text(raw: bytes) -> str:
    # The package would make objects of whatever came, as many as there are values.
    choice = part(body_of(raw), "choices", 0)
    message = part(choice, "message")
    if part(choice, "finish_reason", missing=True) == "content_filter" or part(message, "refusal", missing=True):
        raise LlmError("refusal", 200)
    if part(choice, "finish_reason", missing=True) == "length":
        raise LlmError("cut", 200)
    text = part(message, "content", missing=True)
    if text is None:
        raise LlmError("empty", 200)
    if not isinstance(text, str):
        raise LlmError("bad_shape", 200)
    return text
