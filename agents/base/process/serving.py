"""The worker as a process: descriptors in, a ready line out, and three ways to end.

- the service is gone (end of file on the life-line): exit at once;
- SIGTERM: stop accepting, flush the telemetry, exit 0;
- it cannot start: say why on stderr, exit 2 (1 for what nobody foresaw).
"""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from aiohttp import web

from base.agent import Agent
from base.agent_admin import AdminRoutes
from base.capabilities import Function
from base.http.bounded_server import BoundedServer
from base.http.wire import TRACER, Unquoted, edge, quiet_headers, refusal_document
from base.process import linux
from base.process.bootstrap import Bootstrap, read_bootstrap
from base.process.sections import BootstrapError
from base.protocol.routes import ProtocolRoutes

EXIT_FLUSH = 1.0
EXIT_UNEXPECTED = 1
EXIT_NOT_STARTED = 2
#: Bytes of a header field: a token of about 400 grants, where aiohttp by itself ends at about 200.
MAX_FIELD = 16 << 10


@dataclass(frozen=True, slots=True)
class Inherited:
    """The descriptors of the launch contract."""

    bootstrap: int
    listener: int
    lifeline: int

    @classmethod
    def from_environment(cls) -> Inherited:
        """Raises ``LookupError`` when one is not named."""
        names = ("AITP_BOOTSTRAP_FD", "AITP_LISTEN_FD", "AITP_LIFELINE_FD")
        numbers = [os.environ.get(name, "") for name in names]
        for name, number in zip(names, numbers, strict=True):
            if not number.isdecimal():
                raise LookupError(f"{name} names no descriptor: a worker is started by a launcher")
        inherited = cls(*map(int, numbers))
        for descriptor in (inherited.bootstrap, inherited.listener, inherited.lifeline):
            os.set_inheritable(descriptor, False)
        return inherited


def run(functions: Mapping[str, Function]) -> NoReturn:
    """Start, serve, end the process."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What a capability prints belongs in the log when it is printed, not when the process ends.
        sys.stdout.reconfigure(line_buffering=True)
    linux.keep_private()
    linux.raise_open_files()
    logging.getLogger("aiohttp.server").addFilter(Unquoted())
    try:
        inherited = Inherited.from_environment()
        bootstrap = read_bootstrap(inherited.bootstrap)
        listener = _listener(inherited.listener, bootstrap.port)
        asyncio.run(_serve(bootstrap, functions, listener, inherited.lifeline))
    except (BootstrapError, LookupError, OSError) as error:
        sys.stderr.write(f"this worker did not start: {error}\n")
        leave(EXIT_NOT_STARTED)
    except BaseException:  # noqa: BLE001 - whatever it is, the process ends here and says so
        traceback.print_exc(file=sys.stderr)
    leave(EXIT_UNEXPECTED)


def leave(code: int) -> NoReturn:
    """End now. Taking the interpreter apart takes longer than everything this process has left to do."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    os._exit(code)


async def _serve(
    bootstrap: Bootstrap, functions: Mapping[str, Function], listener: socket.socket, lifeline: int
) -> NoReturn:
    loop = asyncio.get_running_loop()
    loop.add_reader(lifeline, _on_lifeline, lifeline)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    # A terminal's interrupt goes to the whole group; the service decides what it means for its agents.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    agent = Agent(bootstrap, functions)
    runner = web.AppRunner(application(agent), access_log=None, handle_signals=False)
    await runner.setup()
    assert runner.server is not None
    server = BoundedServer(runner.server, refusal_document, max_field_size=MAX_FIELD, auto_decompress=False)
    server.listen(listener)
    agent.start()
    # What is alive now stays alive: looking at it again on every collection would be for nothing.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    sys.stdout.write(f"AITP_AGENT_READY aid={agent.identity.aid} port={bootstrap.port}\n")
    sys.stdout.flush()
    await stop.wait()
    server.stop()
    await agent.telemetry.flush(EXIT_FLUSH)
    await agent.record.close()
    leave(0)


def application(agent: Agent) -> web.Application:
    """What an agent serves: protocol routes and admin routes."""
    app = web.Application(middlewares=[edge])
    app[TRACER] = agent.tracer
    app.on_response_prepare.append(quiet_headers)
    ProtocolRoutes(agent).add_to(app)
    AdminRoutes(agent).add_to(app)
    return app


def _on_lifeline(descriptor: int) -> None:
    """End of file, or an error, is the death of the service; a byte means nothing."""
    try:
        alive = bool(os.read(descriptor, 64))
    except OSError:
        alive = False
    if not alive:
        os._exit(EXIT_UNEXPECTED)


def _listener(descriptor: int, port: int) -> socket.socket:
    listener = socket.socket(fileno=descriptor)
    listener.setblocking(False)
    bound = listener.getsockname()[1]
    if bound != port:
        raise LookupError(f"the listening socket has port {bound}, the bootstrap document says {port}")
    return listener
