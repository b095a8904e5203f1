"""What the value of a setting must look like. Each function takes a value and gives it in the form that is used.

All raise ValueError with what is wanted, never with the value: it may be, or hold, a secret.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr

_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}(%[A-Za-z0-9._-]{1,32})?", re.ASCII)
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]+", re.ASCII)
_UNSAFE_IN_URL: Final = re.compile(r"[^\x21-\x7e]")


def default_state_dir() -> Path:
    """XDG base directory specification: ``$XDG_STATE_HOME``, else ``~/.local/state``."""
    base = os.environ.get("XDG_STATE_HOME", "")
    root = Path(base) if base and Path(base).is_absolute() else _home() / ".local" / "state"
    return root / "aitp-playground"


def _home() -> Path:
    try:
        home = Path.home()
    except RuntimeError:
        home = Path()
    if not home.is_absolute() or not os.environ.get("HOME", "/"):
        raise ValueError("is not set, and this user has no home directory to put it in; set it to a directory")
    return home


def in_home(value: str) -> str:
    """A path that may begin with ``~``, without blanks around it; empty stays empty."""
    text = value.strip()
    if "\0" in text:
        raise ValueError("holds a NUL character, which no path does")
    try:
        return os.fspath(Path(text).expanduser()) if text.startswith("~") else text
    except RuntimeError:
        raise ValueError("begins with ~, and the home directory that this means is not known; write it out") from None


def state_dir(value: Any) -> Any:
    """Empty is the default; a relative one is taken from the directory that the process was started in."""
    if not isinstance(value, str):
        return value
    text = in_home(value)
    return Path(text).absolute() if text else default_state_dir()


def directory(value: str) -> str:
    """A directory that is there, or empty."""
    text = in_home(value)
    if text and not Path(text).is_dir():
        raise ValueError("must be a directory")
    return text


def program(value: str) -> str:
    """Something that can be executed, by its path or found on PATH; or empty."""
    text = in_home(value)
    if text and shutil.which(text) is None:
        raise ValueError("names no program that this user can execute")
    return text


def host_name(value: str) -> str:
    """A name or an IP address to listen on, without brackets; empty: every address."""
    text = value.strip().removeprefix("[").removesuffix("]")
    if text and not _HOST.fullmatch(text):
        raise ValueError("must be a host name or an IP address, without scheme and port")
    return text


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server bound to ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().removesuffix(".") == "localhost"


def http_url(value: str) -> str:
    """An absolute http or https URL without a slash at its end; or empty.

    No user and password: such URLs travel (webhooks, manifests, logs), so a secret in one would too.
    """
    text = value.strip()
    if not text:
        return text
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("must be an absolute http:// or https:// URL, with a port from 1 to 65535 if any") from None
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not host or _UNSAFE_IN_URL.search(parts.path):
        raise ValueError("must be an absolute http:// or https:// URL")
    if port == 0:
        raise ValueError("must be an absolute http:// or https:// URL, with a port from 1 to 65535 if any")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must hold no user and no password; a key goes into a setting of its own")
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        raise ValueError("must end with its path: no query and no fragment")
    try:
        name = host if ":" in host else host.encode("idna").decode()
    except UnicodeError:
        name = ""
    if not _HOST.fullmatch(name):
        raise ValueError("names no host: letters, digits, dots and hyphens, or an IP address")
    return text.rstrip("/")


def key(value: Any) -> Any:
    """A key that can be sent in a header: printable ASCII; blanks and line ends around it are no part of it."""
    secret = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(secret, str):
        return value
    text = secret.strip()
    if text and not _PRINTABLE.fullmatch(text):
        raise ValueError("must be printable ASCII: no other key can be sent in a header")
    return SecretStr(text)


def comma_separated(value: Any) -> Any:
    """A text's parts between commas; an empty text has none. What is no text is left alone."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",")) if value.strip() else ()


def names(values: tuple[str, ...]) -> tuple[str, ...]:
    """Names between commas, none of them empty, each once."""
    if not all(values):
        raise ValueError("has an empty name; names are separated by one comma")
    return tuple(dict.fromkeys(values))


def bearer_keys(keys: Iterable[SecretStr]) -> tuple[SecretStr, ...]:
    """Keys that a client can present (RFC 6750, section 2.1): visible ASCII, none of them empty."""
    checked = tuple(keys)
    for number, secret in enumerate(checked, 1):
        text = secret.get_secret_value()
        if not text:
            raise ValueError(f"key {number} is empty; keys are separated by one comma")
        if not _VISIBLE.fullmatch(text):
            raise ValueError(
                f"key {number} could never be presented: a key is visible ASCII, without blanks; keys are separated by "
                "commas"
            )
    return checked
