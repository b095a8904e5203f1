"""The fork server: imports what all workers share and has the shipped ones prepare, once; forks a child per agent.

Run as ``python -m base.process.forkserver <control fd> <pool size>`` with an empty environment. It is single-threaded
and reads no secret: what a child needs arrives as descriptors which it hands on unread. A launch is handed to a child
forked ahead of need, when there is one; every child serves one launch.

The control socket is AF_UNIX SOCK_SEQPACKET, a JSON object per packet:

- in: ``{"op": "launch", "id"}`` with the six descriptors of :data:`PASSED`; ``{"op": "signal", "id", "signal"}``;
- out: ``{"op": "up"}`` once; ``{"op": "started", "id", "pid"}``; ``{"op": "failed", "id", "error", "errno"}``;
  ``{"op": "exited", "id", "code"}`` after reaping (negative: the signal).

End of file on it kills and reaps all children, and ends the server.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

import base
from base.process import entrypoint, linux

#: What travels with a launch, in this order: the job to run, the contract's three, the output pipes.
PASSED = ("job", "bootstrap", "listen", "lifeline", "stdout", "stderr")
PACKET = 4096
AGENTS_DIR = os.path.dirname(base.__path__[0])  # noqa: PTH120 - a string for the import system
#: Seconds without a request before a used child is replaced: the launch just made needs the processor more.
_QUIET = 0.02
#: Seconds to leave a system alone that could not fork.
_SHORTAGE = 0.2
_PRELOADED = (
    "aiohttp", "aiohttp.web", "aitp", "asyncio", "concurrent.futures.thread", "encodings.idna", "json", "logging",
    "runpy", "ssl", "uuid",
)  # fmt: skip
#: What most agents never need, and what takes long to import.
_AT_FIRST_USE = "base.text.providers."


class Server:
    """Forks, hands over, signals, reaps."""

    def __init__(self, control: socket.socket, pool_size: int) -> None:
        self._control = control
        self._pool_size = pool_size
        self._idle: dict[int, socket.socket] = {}
        self._running: dict[int, int] = {}  # pid -> launch id
        self._selector = selectors.DefaultSelector()
        self._wake, wake_write = socket.socketpair()
        self._wake.setblocking(False)
        wake_write.setblocking(False)
        self._wake_write = wake_write
        self._selector.register(control, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake_write.fileno(), warn_on_full_buffer=False)

    def serve(self) -> socket.socket:
        """Serve until end of file. Returns only in a child: its link to the server."""
        self._tell(op="up")
        while True:
            lacking = len(self._idle) < self._pool_size
            ready = {key.fileobj for key, _ in self._selector.select(_QUIET if lacking else None)}
            if self._wake in ready:
                self._reap()
            link = None
            if self._control in ready:
                link = self._take_request()
            elif lacking and not ready:
                link = self._replenish()
            if link is not None:
                return link

    def _take_request(self) -> socket.socket | None:
        try:
            packet, descriptors, _flags, _address = socket.recv_fds(self._control, PACKET, len(PASSED))
        except ConnectionError:
            packet, descriptors = b"", []
        if not packet:
            self._end()
        request = json.loads(packet)
        try:
            if request["op"] == "signal":
                self._signal(request["id"], request["signal"])
                return None
            while not self._handed_over(request["id"], packet, descriptors):
                if (link := self._fork()) is not None:
                    return link
        except OSError as failure:
            self._tell(op="failed", id=request["id"], error=failure.strerror or str(failure), errno=failure.errno or 0)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return None

    def _handed_over(self, launch: int, packet: bytes, descriptors: list[int]) -> bool:
        """Give the launch to a waiting child; False when none waits."""
        if len(descriptors) != len(PASSED):
            raise OSError(errno.EMFILE, "the fork server could not take the descriptors")
        while self._idle:
            pid, link = self._idle.popitem()
            with link:
                try:
                    socket.send_fds(link, [packet], descriptors)
                except ConnectionError:  # it died waiting
                    continue
            self._running[pid] = launch
            self._tell(op="started", id=launch, pid=pid)
            return True
        return False

    def _replenish(self) -> socket.socket | None:
        try:
            return self._fork()
        except OSError as failure:  # a system short of processes; the next launch will tell, if it is still so
            print(f"no child could be forked ahead of need: {failure}", file=sys.stderr)  # noqa: T201
            time.sleep(_SHORTAGE)
            return None

    def _fork(self) -> socket.socket | None:
        """Add an idle child. In the child: its link."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            ours.close()
            self._leave(server)
            return theirs
        theirs.close()
        self._idle[pid] = ours
        return None

    def _leave(self, server: int) -> None:
        """In a child: give up the server's life, signals, session and descriptors."""
        linux.die_with(server)
        entrypoint.reset_signals()
        os.setsid()
        # Through their objects: an object that outlived its descriptor would one day close somebody else's number.
        self._selector.close()
        for owned in (self._control, self._wake, self._wake_write, *self._idle.values()):
            owned.close()
        gc.enable()

    def _signal(self, launch: int, number: int) -> None:
        """Only children not yet reaped are known here, so a process id never names somebody else."""
        for pid, known in self._running.items():
            if known == launch:
                os.kill(pid, number)
                if number == signal.SIGKILL:
                    kill_group(pid)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake.recv(PACKET):
                pass
        with contextlib.suppress(ChildProcessError):
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                self._bury(ended.si_pid)

    def _bury(self, pid: int) -> None:
        kill_group(pid)  # what the worker started ends with it; unreaped, it still owns the group's number
        _pid, status = os.waitpid(pid, 0)
        if (link := self._idle.pop(pid, None)) is not None:
            link.close()
        elif (launch := self._running.pop(pid, None)) is not None:
            self._tell(op="exited", id=launch, code=os.waitstatus_to_exitcode(status))
        self._kill_strays()

    def _kill_strays(self) -> None:
        """End what a worker left behind in a session of its own: orphans come to this process, and it forked none."""
        for pid in linux.children():
            if pid not in self._idle and pid not in self._running:
                with contextlib.suppress(PermissionError):
                    os.kill(pid, signal.SIGKILL)
                kill_group(pid)

    def _tell(self, **message: Any) -> None:
        with contextlib.suppress(ConnectionError):  # end of file comes next
            self._control.send(json.dumps(message).encode())

    def _end(self) -> NoReturn:
        children = [*self._idle, *self._running]
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        for pid in children:
            self._bury(pid)
        while strays := linux.children():
            for pid in strays:
                os.kill(pid, signal.SIGKILL)
                self._bury(pid)
        os._exit(0)


def kill_group(leader: int) -> None:
    """SIGKILL the process group of a child that leads one (it may not have come so far)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def close_all_but(kept: set[int]) -> None:
    """Close every descriptor that is not in ``kept``."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers, not paths
        if int(name) not in kept:
            with contextlib.suppress(OSError):  # the listing's own descriptor is closed by now
                os.close(int(name))


def receive_job(link: socket.socket) -> entrypoint.Job:
    """Wait for the launch, take over its descriptors, and read what to run."""
    packet, descriptors, _flags, _address = socket.recv_fds(link, PACKET, len(PASSED))
    if not packet:
        os._exit(0)
    given = dict(zip(PASSED, descriptors, strict=True))
    os.dup2(given["stdout"], 1)
    os.dup2(given["stderr"], 2)
    with open(given["job"], "rb") as stream:  # noqa: PTH123 - a descriptor
        document = json.load(stream)
    contract = [given["bootstrap"], given["listen"], given["lifeline"]]
    link.detach()
    close_all_but({0, 1, 2, *contract})
    document["env"] |= {name: str(number) for name, number in zip(entrypoint.DESCRIPTORS, contract, strict=True)}
    return entrypoint.parse_job(document)


def preload() -> None:
    """Import what all workers share, and have the shipped ones prepare: a package's ``preload()`` is called, if any.

    What fails is left to the worker that wants it, which then reports it.
    """
    shared = (module.name for module in pkgutil.walk_packages(base.__path__, "base."))
    wanted = (name for name in shared if name != "base.process.forkserver" and not name.startswith(_AT_FIRST_USE))
    for name in (*_PRELOADED, *wanted):
        with _optional():
            importlib.import_module(name)
    workers = [module.name for module in pkgutil.iter_modules([AGENTS_DIR]) if module.ispkg and module.name != "base"]
    for name in workers:
        with _optional():
            getattr(importlib.import_module(name), "preload", bool)()
    entrypoint.remember_preloaded(["base", *workers])


@contextlib.contextmanager
def _optional() -> Iterator[None]:
    try:
        yield
    except Exception:  # noqa: BLE001 - an optional speed-up; the worker reports it when it matters
        traceback.print_exc()


def main() -> NoReturn:
    """Preload, then serve; children go on to run their job."""
    entrypoint.reset_signals()  # a parent that blocks SIGCHLD would have no child ever reaped
    control, pool_size = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    control.set_inheritable(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.chdir("/")
    gc.disable()
    preload()
    del sys.path[0]  # where `-m` found this package: a job says where modules come from
    gc.collect()
    gc.freeze()
    linux.set_name("aitp:forkserver")
    linux.adopt_orphans()
    linux.keep_private()  # children inherit it: what they are handed is closed to their siblings
    entrypoint.run(receive_job(Server(control, pool_size).serve()))


if __name__ == "__main__":
    main()
