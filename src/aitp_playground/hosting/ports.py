"""The listening sockets of agents."""

from __future__ import annotations

import socket

from aitp_playground.errors import LaunchError
from aitp_playground.hosting.shortages import shortage

_BACKLOG = 128


def bind_agent_socket(base_port: int, offset: int) -> socket.socket:
    """A TCP socket listening on 127.0.0.1, on ``base_port + offset`` when that is free, else on any free port.

    The caller owns it; it is not inherited by child processes. Raises LaunchError when none can be had.
    """
    wanted = base_port + offset
    if wanted <= 65535:
        try:
            return _listening(wanted)
        except OSError:
            pass
    try:
        return _listening(0)
    except OSError as failure:
        raise LaunchError(f"no port can be had for an agent: {shortage(failure) or failure.strerror}") from failure


def _listening(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
