"""A server's sockets and the application behind them: listening first, so that what is made later knows the address."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from aitp_playground.bounded_server import BoundedServer, Limits, Refusal
from aitp_playground.net import url_of

#: Clients that may wait in the kernel while accepting pauses; listen(2) takes less where the system allows less.
BACKLOG = 1024
_TRIES = 5
#: A family that this machine does not have is no reason not to listen on the other.
_NO_SUCH_FAMILY = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


@dataclass(frozen=True, slots=True)
class Address:
    """``url``: how this machine reaches the sockets. They listen: who connects waits until somebody accepts."""

    url: str
    sockets: tuple[socket.socket, ...]

    def close(self) -> None:
        """Idempotent; also after somebody else has closed them."""
        for listener in self.sockets:
            listener.close()


async def listen(host: str, port: int) -> Address:
    """Listen on ``host`` (a name or an IP literal; empty: every address) and ``port`` (0: any free one, the same for
    each address of the host). Raises ``OSError``."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    places = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    for tried in range(1, _TRIES + 1):
        try:
            sockets = _bound(places)
        except OSError as failure:
            # The port that was free for one family may not be so for the other.
            if port or failure.errno != errno.EADDRINUSE or tried == _TRIES:
                raise
        else:
            return Address(url_of(host, sockets[0].getsockname()[1]), tuple(sockets))
    raise AssertionError("unreachable")


def _bound(places: Sequence[tuple[socket.AddressFamily, Any]]) -> list[socket.socket]:
    with contextlib.ExitStack() as stack:
        sockets: list[socket.socket] = []
        missing: OSError | None = None
        for family, (host, port, *more) in places:
            try:
                listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind((host, port or (sockets[0].getsockname()[1] if sockets else 0), *more))
                listener.listen(BACKLOG)
            except OSError as failure:
                if failure.errno not in _NO_SUCH_FAMILY:
                    raise
                missing = failure
            else:
                sockets.append(listener)
        if not sockets:
            raise missing or OSError(errno.EADDRNOTAVAIL, "the host has no address")
        stack.pop_all()
        return sockets


@contextlib.asynccontextmanager
async def serving(
    app: web.Application,
    address: Address,
    refusal: Refusal,
    limits: Limits,
    *,
    shutdown_timeout: float,
    **options: Any,
) -> AsyncIterator[None]:
    """Serve ``app`` while this is open; in the end requests under way get ``shutdown_timeout`` seconds.

    ``refusal`` and ``options``: see :class:`~aitp_playground.bounded_server.BoundedServer`.
    """
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=shutdown_timeout)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        assert runner.server is not None
        server = BoundedServer(runner.server, refusal, limits, **options)
        stack.callback(server.stop)
        for listener in address.sockets:
            server.listen(listener)
        yield


def raise_open_files() -> None:
    """Allow this process as many open files as it may allow itself; getrlimit(2)."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS takes less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
