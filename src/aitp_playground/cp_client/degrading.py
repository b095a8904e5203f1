"""Methods that degrade: one definition gives a call that yields its value and one that yields the reason as well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Protocol, TypeVar, overload

import structlog

from aitp_playground.cp_client.answers import record
from aitp_playground.cp_client.breaker import Breaker, State
from aitp_playground.cp_client.notices import Notices
from aitp_playground.cp_client.reasons import Degraded, Outcome, Reason
from aitp_playground.cp_client.transport import Answer, Transport

P = ParamSpec("P")
T = TypeVar("T")
#: What to answer instead, given the failure; None stands for a client that is disabled.
Fallback = Callable[[Degraded | None], T]
ClientState = Literal["disabled", "closed", "open"]

_log = structlog.get_logger(__name__)


class Observer(Protocol):
    """Told how each call ended, for metrics. Must be quick and must not raise."""

    def __call__(self, operation: str, reason: Reason | None, /) -> None: ...


class Degrading:
    """What a client's calls share: the switch, the time limit, the breaker, and the log's one line per trouble."""

    def __init__(
        self,
        transport: Transport,
        *,
        timeout: float,
        on_outcome: Observer | None = None,
        on_state: Callable[[State], None] | None = None,
        breaker: Callable[..., Breaker] = Breaker,
    ) -> None:
        self._transport = transport
        self._timeout = timeout
        self._on_outcome = on_outcome
        self._on_state = on_state
        self._notices = Notices()
        self._breaker = breaker(self._is_well, on_change=self._breaker_changed)
        self._ended = False

    @property
    def enabled(self) -> bool:
        """Whether a Control Plane is configured."""
        return bool(self._transport.base_url)

    @property
    def base_url(self) -> str:
        """Where the Control Plane's paths begin, "" without one: no trailing slash, no ``/api``."""
        return self._transport.base_url

    @property
    def timeout(self) -> float:
        """The most seconds that one call may take."""
        return self._timeout

    @property
    def state(self) -> ClientState:
        """``closed``: calls go out. ``open``: they degrade at once, until the Control Plane gives a sign of life."""
        return self._breaker.state if self.enabled else "disabled"

    @property
    def trouble(self) -> Reason | None:
        """The class of the latest failure that no later success has put right; for ``/readyz``."""
        return self._notices.reason

    async def close(self) -> None:
        """End the breaker's probing; calls degrade from now on. The HTTP session belongs to whoever made it."""
        self._ended = True
        await self._breaker.close()

    async def run(self, operation: str, fallback: Fallback[T], work: Coroutine[Any, Any, T]) -> Outcome[T]:
        """Do ``work`` within the time limit. Raises nothing but ``CancelledError``."""
        if not self.enabled:
            work.close()
            return Outcome(fallback(None))
        try:
            outcome = Outcome(await self._attempt(work))
        except Degraded as failure:
            outcome = Outcome(fallback(failure), failure.reason, failure.detail, failure.status, failure.retry_after)
        self._notices.note(operation, outcome)
        if self._on_outcome is not None:
            self._on_outcome(operation, outcome.reason)
        return outcome

    async def _attempt(self, work: Coroutine[Any, Any, T]) -> T:
        permit = self._breaker.admit()
        if permit is None or self._ended:
            work.close()
            raise Degraded("breaker_open", "not tried while the Control Plane is away", sent=False)
        try:
            async with asyncio.timeout(self._timeout):
                return await work
        except Degraded as failure:
            self._breaker.failed(permit, failure.reason)
            raise
        except TimeoutError:
            self._breaker.failed(permit, "timeout")
            raise Degraded("timeout", f"no whole answer within {self._timeout:g} s") from None
        except Exception as fault:
            # No run may fail for the Control Plane's sake, not even through a fault of this client.
            _log.exception("cp_client.fault")
            raise Degraded("bad_shape", f"the client itself failed ({type(fault).__name__})") from fault

    async def _send(self, method: str, path: str, **request: Any) -> Answer:
        """:meth:`Transport.send`, with the breaker told when anything at all was answered."""
        try:
            answer = await self._transport.send(method, path, **request)
        except Degraded as failure:
            if failure.status is not None:
                self._breaker.answered()
            raise
        self._breaker.answered()
        return answer

    def tell_states(self, on_state: Callable[[State], None]) -> None:
        """Have ``on_state`` told the breaker's states from now on, in place of whoever was told them before."""
        self._on_state = on_state

    async def _is_well(self) -> bool:
        """The breaker's probe. A proxy's error page or a database that is down is no sign of life."""
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._transport.send("GET", "/api/health", public=True)
                return record(answer.body).get("ok") is True
        except (Degraded, TimeoutError):
            return False

    def _breaker_changed(self, state: State) -> None:
        if state == "closed":
            self._notices.forget()
        if self._on_state is not None:
            self._on_state(state)


D = TypeVar("D", bound=Degrading)


class Call(Generic[P, T]):
    """A degrading method, bound. Calling it gives the value; :meth:`outcome` gives the value and the reason."""

    def __init__(self, client: Degrading, method: DegradingMethod[Any, P, T]) -> None:
        self._client = client
        self._method = method

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        return (await self.outcome(*args, **kwargs)).value

    async def outcome(self, *args: P.args, **kwargs: P.kwargs) -> Outcome[T]:
        """As the call, with the reason class beside the value."""
        method = self._method
        return await self._client.run(method.name, method.fallback, method.work(self._client, *args, **kwargs))


class DegradingMethod(Generic[D, P, T]):
    """The descriptor that :func:`degrades` puts in the place of a coroutine function."""

    def __init__(self, work: Callable[Concatenate[D, P], Coroutine[Any, Any, T]], fallback: Fallback[T]) -> None:
        self.work = work
        self.name = work.__name__
        self.fallback = fallback
        self.__doc__ = work.__doc__

    @overload
    def __get__(self, client: None, owner: type[D]) -> DegradingMethod[D, P, T]: ...
    @overload
    def __get__(self, client: D, owner: type[D]) -> Call[P, T]: ...
    def __get__(self, client: D | None, owner: type[D]) -> DegradingMethod[D, P, T] | Call[P, T]:
        return self if client is None else Call(client, self)


def degrades(
    fallback: Fallback[T],
) -> Callable[[Callable[Concatenate[D, P], Coroutine[Any, Any, T]]], DegradingMethod[D, P, T]]:
    """Make a method that raises :class:`Degraded` into one that yields its fallback instead."""
    return lambda work: DegradingMethod(work, fallback)
