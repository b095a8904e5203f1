"""Agents' listening sockets."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from aitp_playground.errors import LaunchError
from aitp_playground.hosting.ports import bind_agent_socket


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


def test_a_free_port_is_taken_as_wished(free_port: int) -> None:
    with bind_agent_socket(free_port - 7, 7) as sock:
        assert sock.getsockname() == ("127.0.0.1", free_port)


def test_it_listens_and_is_not_inherited(free_port: int) -> None:
    with bind_agent_socket(free_port, 0) as sock:
        socket.create_connection(sock.getsockname(), timeout=300).close()
        assert not sock.get_inheritable()


def test_a_port_in_use_gives_another_one(free_port: int) -> None:
    with bind_agent_socket(free_port, 0) as first, bind_agent_socket(free_port, 0) as second:
        assert second.getsockname()[1] not in (0, first.getsockname()[1])


def test_an_offset_beyond_the_last_port_gives_any() -> None:
    with bind_agent_socket(65000, 1000) as sock:
        assert sock.getsockname()[1] > 0


def test_a_port_is_taken_again_right_after_a_connection_closed(free_port: int) -> None:
    with bind_agent_socket(free_port, 0) as sock:
        client = socket.create_connection(sock.getsockname(), timeout=300)
        server, _address = sock.accept()
        server.close()  # the closing side keeps the port in TIME_WAIT
        client.close()
    with bind_agent_socket(free_port, 0) as sock:
        assert sock.getsockname()[1] == free_port


def test_without_a_descriptor_left_it_is_said_what_is_short_and_nothing_stays_open(
    free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scarce(*_args: object) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket, "socket", scarce)
    with pytest.raises(LaunchError, match=r"no port can be had for an agent: no more files .*ulimit -n"):
        bind_agent_socket(free_port, 0)
