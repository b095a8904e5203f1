"""The service's end of the fork server's control socket: JSON packets out with descriptors, JSON packets in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_PACKET = 4096


class Channel:
    """Sends in order and never blocks; what the socket does not take at once waits, with its own copies of descriptors.

    ``on_message`` is called with each packet, ``on_end`` once, at end of file or failure.
    """

    def __init__(
        self, sock: socket.socket, on_message: Callable[[dict[str, Any]], object], on_end: Callable[[], object]
    ) -> None:
        self._sock = sock
        self._on_message = on_message
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[bytes, list[int]]] = deque()
        self._ended = False
        sock.setblocking(False)
        self._loop.add_reader(sock, self._readable)

    @property
    def ended(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._ended

    def post(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send a packet; the descriptors stay the caller's. Nothing happens after the end.

        With descriptors it raises ``OSError`` in a shortage, and nothing was sent.
        """
        if self._ended:
            return
        packet = json.dumps(message).encode()
        try:
            if not self._waiting and self._send(packet, descriptors):
                return
        except OSError:
            if descriptors:
                raise
        with contextlib.ExitStack() as stack:
            copies = []
            for descriptor in descriptors:
                copies.append(os.dup(descriptor))
                stack.callback(os.close, copies[-1])
            if not self._waiting:
                self._loop.add_writer(self._sock, self._writable)
            self._waiting.append((packet, copies))
            stack.pop_all()

    def finish(self) -> None:
        """Let the other side see end of file; its last messages still arrive."""
        if not self._ended:
            self._drop_waiting()
            self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End at once. Idempotent."""
        if self._ended:
            return
        self._ended = True
        self._drop_waiting()
        self._loop.remove_reader(self._sock)
        self._sock.close()
        self._on_end()

    def _send(self, packet: bytes, descriptors: Sequence[int]) -> bool:
        """False: not now."""
        try:
            socket.send_fds(self._sock, [packet], descriptors)
        except BlockingIOError:
            return False
        except ConnectionError:
            pass  # the reader meets the end
        return True

    def _writable(self) -> None:
        while self._waiting:
            packet, descriptors = self._waiting[0]
            try:
                if not self._send(packet, descriptors):
                    return
            except OSError:  # whoever posted it is told of the end; trying again would be trying without pause
                self.close()
                return
            self._waiting.popleft()
            _close_all(descriptors)
        self._loop.remove_writer(self._sock)

    def _readable(self) -> None:
        try:
            packet = self._sock.recv(_PACKET)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if packet:
            self._on_message(json.loads(packet))
        else:
            self.close()

    def _drop_waiting(self) -> None:
        if self._waiting:
            self._loop.remove_writer(self._sock)
        while self._waiting:
            _close_all(self._waiting.popleft()[1])


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
