"""Hosts as HTTP names them: in Host headers, in web origins. One spelling for each."""

from __future__ import annotations

import ipaddress
import re

#: RFC 3986, section 3.2, without userinfo: a bracketed IPv6 literal or a name, then a port that may be empty.
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+(?:%[\w.~-]+)?)\]|([A-Za-z0-9_.-]+))(?::(\d{0,5}))?", re.ASCII)
_ORIGIN = re.compile(r"https?://([^/?#@]+)", re.ASCII | re.IGNORECASE)


def canonical(host: str) -> str:
    """One spelling per host: lower case, no trailing dot, IP addresses compressed, IPv4-mapped ones as IPv4."""
    name = host.lower().removesuffix(".")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def host_of(authority: str) -> str | None:
    """The canonical host of ``host[:port]``; None when it is not one."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None or int(match[3] or 0) > 65535:
        return None
    return canonical(match[1] or match[2]) or None


def origin_host(origin: str) -> str | None:
    """The canonical host of a serialised web origin; None for ``null`` and everything that is not http or https."""
    match = _ORIGIN.fullmatch(origin)
    return host_of(match[1]) if match else None
