"""An optional language model behind a worker: OpenAI's chat completions or Anthropic's messages, over a given session.

Errors and events carry classes of failure and counts, never a prompt, an answer or the key.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aiohttp

from base.http.bodies import read_bounded
from base.text.prose import clean
from base.text.rewording import LlmError

if TYPE_CHECKING:
    from base.process.bootstrap import LlmConfig

#: Both attempts and the wait between them, in seconds; a step has 30 in all.
DEADLINE: Final = 20.0
MAX_RETRY_AFTER: Final = 5.0
DEFAULT_RETRY_AFTER: Final = 0.5
MAX_TOKENS: Final = 4_096
MAX_PROMPT: Final = 100_000
MAX_BODY: Final = 1 << 20
MAX_ANSWER: Final = 20_000
DEFAULT_BASE_URLS: Final = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}

OnEvent = Callable[..., object]


class LlmClient:
    """One model of one provider. The session stays the caller's; ``on_event(type, **fields)`` must not block."""

    __slots__ = ("_base_url", "_key", "_on_event", "_session", "model", "provider")

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        provider: str,
        model: str,
        api_key: str,
        base_url: str,
        on_event: OnEvent | None = None,
    ) -> None:
        self._session = session
        self._key = api_key
        self._base_url = base_url.rstrip("/")
        self._on_event = on_event
        self.provider = provider
        self.model = model

    def __repr__(self) -> str:
        return f"<LlmClient {self.provider} {self.model}>"

    async def complete(self, system: str, prompt: str, *, max_tokens: int = 1024) -> str:
        """The model's answer, cleaned, at most ``MAX_ANSWER`` characters. Raises :class:`LlmError`.

        A 429 or 5xx is tried once more, after the Retry-After it named (``MAX_RETRY_AFTER`` at most).
        """
        prompt = prompt[:MAX_PROMPT]
        started = time.monotonic()
        self._emit("llm.started", chars=len(system) + len(prompt))
        try:
            async with asyncio.timeout(DEADLINE):
                body = await self._ask(self._request_body(system, prompt, min(max_tokens, MAX_TOKENS)))
            answer = self._answer(body)
        except TimeoutError:
            raise self._failed(LlmError("timeout"), started) from None
        except LlmError as error:
            raise self._failed(error, started) from None
        # An aiohttp error may hold the request's headers, hence the key; it must not travel on as a cause.
        except (aiohttp.ClientError, OSError):
            raise self._failed(LlmError("refused"), started) from None
        self._emit("llm.complete", ms=_since(started), chars=len(answer))
        return answer

    async def _ask(self, body: dict[str, Any]) -> Any:
        try:
            return await self._attempt(body)
        except _Retry as retry:
            await asyncio.sleep(retry.after)
        return await self._attempt(body)

    async def _attempt(self, body: dict[str, Any]) -> Any:
        # A redirect would take the key to another host.
        request = self._session.post(self._url(), json=body, headers=self._headers(), allow_redirects=False)
        async with request as response:
            if response.status != 200:
                raise _refusal(response.status, response.headers.get("Retry-After"))
            raw = await read_bounded(response.content, MAX_BODY)
        if raw is None:
            raise LlmError("too_large", 200)
        try:
            return json.loads(raw)
        except (ValueError, RecursionError):
            raise LlmError("not_json", 200) from None

    def _url(self) -> str:
        if self.provider == "openai":
            return f"{self._base_url}/chat/completions"
        return self._base_url.removesuffix("/v1") + "/v1/messages"

    def _headers(self) -> dict[str, str]:
        if self.provider == "openai":
            return {"Authorization": f"Bearer {self._key}"}
        return {"x-api-key": self._key, "anthropic-version": "2023-06-01"}

    def _request_body(self, system: str, prompt: str, max_tokens: int) -> dict[str, Any]:
        asked = {"role": "user", "content": prompt}
        common = {"model": self.model, "max_tokens": max_tokens, "temperature": 0}
        if self.provider == "openai":
            return common | {"messages": [{"role": "system", "content": system}, asked]}
        return common | {"system": system, "messages": [asked]}

    def _answer(self, body: Any) -> str:
        text = self._text(body)
        answer = clean(text).strip()[:MAX_ANSWER] if isinstance(text, str) else ""
        if not answer:
            raise LlmError("empty" if isinstance(text, str) else "bad_shape", 200)
        return answer

    def _text(self, body: Any) -> Any:
        try:
            if self.provider == "openai":
                return body["choices"][0]["message"]["content"]
            return "".join(block["text"] for block in body["content"] if block["type"] == "text")
        except (KeyError, IndexError, TypeError):
            raise LlmError("bad_shape", 200) from None

    def _failed(self, error: LlmError, started: float) -> LlmError:
        self._emit("llm.failed", ms=_since(started), error=str(error))
        return error

    def _emit(self, event_type: str, **fields: Any) -> None:
        if self._on_event is not None:
            self._on_event(event_type, provider=self.provider, model=self.model, **fields)


def build_llm(
    config: Mapping[str, Any] | LlmConfig | None, session: aiohttp.ClientSession, *, on_event: OnEvent | None = None
) -> LlmClient | None:
    """The client for the bootstrap document's ``llm`` (``provider, api_key, model``, optional ``base_url``).

    None when there is no configuration. Raises ValueError, naming the key that is wrong and no value.
    """
    if config is None:
        return None
    given = config if isinstance(config, Mapping) else dataclasses.asdict(config)
    provider = given.get("provider")
    if not isinstance(provider, str) or provider not in DEFAULT_BASE_URLS:
        raise ValueError(f"llm.provider must be one of {', '.join(DEFAULT_BASE_URLS)}")
    api_key, model = given.get("api_key"), given.get("model")
    # A line break in a key would otherwise surface in a header error that quotes it.
    if not isinstance(api_key, str) or not api_key or not (api_key.isascii() and api_key.isprintable()):
        raise ValueError("llm.api_key must be printable ASCII text")
    if not isinstance(model, str) or not model:
        raise ValueError("llm.model must name a model")
    base_url = given.get("base_url") or DEFAULT_BASE_URLS[provider]
    if not isinstance(base_url, str) or urlsplit(base_url).scheme not in ("http", "https"):
        raise ValueError("llm.base_url must be an http or https URL")
    return LlmClient(session, provider=provider, model=model, api_key=api_key, base_url=base_url, on_event=on_event)


class _Retry(LlmError):
    """A failure worth a second attempt ``after`` so many seconds."""

    def __init__(self, reason: str, status: int, after: float) -> None:
        super().__init__(reason, status)
        self.after = after


def _refusal(status: int, retry_after: str | None) -> LlmError:
    if status == 429 or status >= 500:
        return _Retry("rate_limited" if status == 429 else "http_5xx", status, _wait(retry_after))
    if status in (401, 403):
        return LlmError("unauthorized", status)
    return LlmError("redirect" if 300 <= status < 400 else "http_4xx", status)


def _wait(retry_after: str | None) -> float:
    """Retry-After (RFC 9110, section 10.2.3) in seconds, seconds or date, kept within 0 and ``MAX_RETRY_AFTER``."""
    if retry_after is None:
        return DEFAULT_RETRY_AFTER
    try:
        if retry_after.strip().isdecimal():
            seconds = float(retry_after)
        else:
            seconds = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return DEFAULT_RETRY_AFTER
    return min(max(0.0, seconds), MAX_RETRY_AFTER)


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
