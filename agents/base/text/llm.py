"""An optional language model behind a worker, asked through its provider's official package.

The package is imported at the first question, in a thread: that takes a second or two. Errors and events carry classes
of failure and counts, never a prompt, an answer or the key.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from base.http import step_mark
from base.http.tracing import asking_model
from base.text.prose import clean
from base.text.rewording import LlmError

if TYPE_CHECKING:
    from tenacity import RetryCallState

    from base.process.bootstrap import LlmConfig

#: Of the time that a step has left; in the rest the worker's own text must be made, sent and reported.
SHARE_OF_STEP: Final = 0.8
#: Seconds below which nothing is asked: what came of it would be the step's doing, and look like the provider's.
LEAST_TIME: Final = 0.05
MAX_ATTEMPTS: Final = 4
#: Seconds before the next attempt where the provider names none: the first, and the most.
FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 4.0
MAX_TOKENS: Final = 4_096
MAX_PROMPT: Final = 100_000
MAX_ANSWER: Final = 20_000
_MODULES: Final = {
    "openai": "base.text.providers.openai_chat",
    "anthropic": "base.text.providers.anthropic_messages",
}

OnEvent = Callable[..., object]


class Provider(Protocol):
    """A module of ``base.text.providers``, as its class ``Provider``."""

    async def ask(self, system: str, prompt: str, max_tokens: int) -> str:
        """The text of one answer. Raises :class:`LlmError`."""

    async def close(self) -> None:
        """Close its connections."""


class LlmClient:
    """One model of one provider. ``on_event(type, **fields)`` must not block."""

    def __init__(
        self,
        config: LlmConfig,
        *,
        on_event: OnEvent,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.provider = config.provider
        self.model = config.model
        self._config = config
        self._on_event = on_event
        self._sleep = sleep
        self._opening: asyncio.Future[Provider] | None = None

    def __repr__(self) -> str:
        return f"<LlmClient {self.provider} {self.model}>"

    async def complete(self, system: str, prompt: str, *, max_tokens: int = 1024) -> str:
        """The model's answer, cleaned, at most ``MAX_ANSWER`` characters. Raises :class:`LlmError`.

        Both have at most ``MAX_PROMPT`` characters together. What the provider says will pass (429, 5xx) is tried
        again, no sooner than it asked for, while there is time: ``timeout_secs`` for all attempts and waits, and never
        more than ``SHARE_OF_STEP`` of what the step has left.
        """
        started = time.monotonic()
        self._emit("llm.started", chars=len(system) + len(prompt))
        try:
            with asking_model(self.provider, self.model):
                answer = await self._answer(system, prompt, min(max_tokens, MAX_TOKENS))
        except LlmError as error:
            self._emit("llm.failed", ms=_since(started), error=error.reason, status=error.status)
            raise
        self._emit("llm.complete", ms=_since(started), chars=len(answer))
        return answer

    async def close(self) -> None:
        """Close the connections, if there are any."""
        if self._opening is not None:
            opening, self._opening = self._opening, None
            [opened] = await asyncio.gather(opening, return_exceptions=True)
            if not isinstance(opened, BaseException):
                await opened.close()

    async def _answer(self, system: str, prompt: str, max_tokens: int) -> str:
        if len(system) + len(prompt) > MAX_PROMPT:
            raise LlmError("too_large")
        left = step_mark.seconds_left()
        limit = self._config.timeout_secs if left is None else min(self._config.timeout_secs, left * SHARE_OF_STEP)
        if limit < LEAST_TIME:
            raise LlmError("no_time")
        until = time.monotonic() + limit
        try:
            async with asyncio.timeout(limit):
                provider = await self._opened()
                text = await self._asked(provider, system, prompt, max_tokens, until)
        except TimeoutError:
            raise LlmError("timeout") from None
        except LlmError:
            raise
        except Exception:  # noqa: BLE001 - whatever the packages make of an answer, a worker goes on without it
            traceback.print_exc(file=sys.stderr)
            raise LlmError("bad_shape") from None
        answer = clean(text).strip()[:MAX_ANSWER]
        if not answer:
            raise LlmError("empty", 200)
        return answer

    async def _opened(self) -> Provider:
        """The provider, made at the first question. Who waits for it may give up; the making goes on for the next."""
        if self._opening is None:
            self._opening = asyncio.get_running_loop().run_in_executor(None, _open, self._config)
        try:
            return await asyncio.shield(self._opening)
        except ImportError:
            raise LlmError("not_installed") from None

    async def _asked(self, provider: Provider, system: str, prompt: str, max_tokens: int, until: float) -> str:
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, stop_before_delay

        attempts = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, LlmError) and error.passing),
            stop=stop_after_attempt(MAX_ATTEMPTS) | stop_before_delay(until - time.monotonic()),
            wait=_wait,
            sleep=self._sleep,
            reraise=True,
        )
        return await attempts(provider.ask, system, prompt, max_tokens)

    def _emit(self, event_type: str, **fields: Any) -> None:
        self._on_event(event_type, provider=self.provider, model=self.model, **fields)


def _open(config: LlmConfig) -> Provider:
    """Import and make what the questions need. Raises ImportError, whatever is wrong with the installed package.

    An import in a thread lets the event loop run, but for the garbage collector, which would walk through the hundred
    thousand objects of the package several times, up to 80 ms each. They are there to stay: it never looks at them.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        importlib.import_module("tenacity")
        return cast("Provider", importlib.import_module(_MODULES[config.provider]).Provider(config))
    except ModuleNotFoundError:
        raise
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        raise ImportError(f"the package of {config.provider} cannot be used") from error
    finally:
        gc.freeze()
        if collecting:
            gc.enable()


def _wait(state: RetryCallState) -> float:
    """What the provider asked for, else longer each time. What is beyond the time there is ends the attempts."""
    from tenacity import wait_exponential, wait_random

    assert state.outcome is not None
    error = state.outcome.exception()
    named = error.retry_after if isinstance(error, LlmError) else None
    longer = wait_exponential(FIRST_WAIT, LONGEST_WAIT) + wait_random(0, FIRST_WAIT)
    return longer(state) if named is None else named


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
