"""Where webhooks may go: anywhere but the link-local addresses at which clouds hand out their machines' credentials."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import Any, Final

import aiohttp

from aitp_playground.net import LocalResolver

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Link-local networks (RFC 3927; RFC 4291, section 2.5.6), and metadata services outside of them.
_REFUSED: Final = tuple(
    map(ipaddress.ip_network, ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "100.100.100.200/32"))
)
#: Prefix of IPv4 addresses behind a NAT64 (RFC 6052).
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_MOST_CONNECTIONS: Final = 256


class TargetRefused(OSError):
    """An address that no webhook may reach."""


def refused(host: str) -> bool:
    """Whether ``host`` is such an address, in any of the spellings that a resolver would take for one."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            # 2852039166, 0xa9fea9fe and 169.254.43518 are addresses too.
            address = ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, ValueError):
            return False
    return any(each in network for each in _meanings(address) for network in _REFUSED)


def _meanings(address: Address) -> list[Address]:
    """The address, and the IPv4 address that an IPv6 one carries inside."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    inside = [address.ipv4_mapped, address.sixtofour]
    if address in _NAT64 or int(address) >> 32 == 0:
        inside.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return [address, *(each for each in inside if each is not None)]


def delivery_session() -> aiohttp.ClientSession:
    """A client session that connects to no refused address, whether a URL, a name or a redirect leads there.

    The look is at the address of each connection, when it is made: what a name meant earlier does not count.
    """
    connector = aiohttp.TCPConnector(
        resolver=LocalResolver(), limit=_MOST_CONNECTIONS, ttl_dns_cache=10, socket_factory=_socket
    )
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)


def _socket(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, target = address
    if refused(str(target[0])):
        raise TargetRefused(errno.EACCES, f"webhooks may not reach {target[0]}")
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made
