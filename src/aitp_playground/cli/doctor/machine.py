"""Checks of this machine and of what is installed: they load neither the SDK nor the service."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import resource
import shutil
import socket
import sqlite3
import stat
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from aitp_playground import __version__, sdk
from aitp_playground.cli.doctor.findings import Finding, error, ok, warning
from aitp_playground.config import Settings
from aitp_playground.errors import ConfigurationError, StoreUnavailable
from aitp_playground.private_files import OTHERS
from aitp_playground.store.schema import check

#: What a server with its agents may need of this machine.
FILES = 4096
DISK_BYTES = 256 << 20
#: Pages of a database that are looked at for damage: more takes minutes.
LARGEST_CHECKED = 256 << 20


def interpreter(_settings: Settings) -> Iterator[Finding]:
    """Which program this is, on what."""
    version = platform.python_version()
    said = f"aitp-playground {__version__}, Python {version} at {sys.executable}, {platform.system()}"
    if not sys.platform.startswith("linux"):
        yield warning("interpreter", said, "agents are not forked here but started one by one: slower, and no worse")
    else:
        yield ok("interpreter", said)


def open_files(_settings: Settings) -> Iterator[Finding]:
    """How many files a process may open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        yield warning(
            "open files",
            f"at most {hard} files may be open, which is soon used up by connections and agents",
            f"raise the hard limit to {FILES} or more (ulimit -Hn, LimitNOFILE= of systemd, --ulimit nofile of Docker)",
        )
    else:
        yield ok("open files", f"at most {'any number' if hard == resource.RLIM_INFINITY else hard}")


def state_directory(settings: Settings) -> Iterator[Finding]:
    """Whether STATE_DIR can be written, and by nobody else."""
    path = settings.state_dir
    there = next(part for part in (path, *path.parents) if part.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as failure:
        yield error(
            "state directory",
            f"{path} cannot be written: {failure.strerror}",
            "set STATE_DIR to a directory of this user's, or give this user that one",
        )
        return
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o700
    if mode & OTHERS:
        yield warning(
            "state directory",
            f"{path} is open to other users (mode {mode:04o}); keys in it are private, the history is as open as that",
            f"chmod 700 {path}",
        )
    elif (fault := _distrusted(path)) is not None:
        advice = "chmod 600 it if nobody else has read it, else remove it: new keys are then made"
        yield error("state directory", fault, advice)
    else:
        yield ok("state directory", str(path))
    yield from _room(there)


def _distrusted(state_dir: Path) -> str | None:
    """Why the secret that is there will not be used."""
    # Imported here: an installation whose parts do not load has to be told of all the same.
    from aitp_playground.hosting.keys import check_secret

    try:
        check_secret(state_dir)
    except ConfigurationError as failure:
        return failure.message
    return None


def _room(path: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(path).free
    if free < DISK_BYTES:
        yield warning(
            "disk",
            f"{free >> 20} MiB are free where {path} is",
            "make room: a run that cannot be stored ends, and says so",
        )
    else:
        yield ok("disk", f"{free >> 20} MiB free")


def database(settings: Settings) -> Iterator[Finding]:
    """Whether the run history is one, of this release or an earlier one, and whole."""
    if settings.database == ":memory:":
        yield ok("run history", "in memory, for as long as the process runs")
        return
    path = Path(settings.database)
    if not path.exists():
        yield ok("run history", f"{path}, to be made")
        return
    try:
        address = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=5, isolation_level=None)) as opened:
            check(opened)
            if path.stat().st_size <= LARGEST_CHECKED:
                (verdict,) = opened.execute("PRAGMA quick_check(1)").fetchone()
                if verdict != "ok":
                    raise sqlite3.DatabaseError(verdict)
    except StoreUnavailable as failure:
        yield error("run history", failure.message, "see above; `RUN_HISTORY_DB` names another file")
    except (sqlite3.Error, OSError) as failure:
        yield error(
            "run history",
            f"{path} cannot be used: {failure}",
            "stop what uses it, move it away (or restore a copy), and start again: a new one is made",
        )
    else:
        yield ok("run history", str(path))


def port(settings: Settings) -> Iterator[Finding]:
    """Whether ``serve`` could listen; a playground that does is as good."""
    place = f"{settings.host}:{settings.port}"
    if settings.port == 0:
        yield ok("port", "any free one")
        return
    try:
        found = socket.getaddrinfo(
            settings.host or None, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind(address)
    except OSError as failure:
        if failure.errno == errno.EADDRINUSE and _is_a_playground(settings):
            yield ok("port", f"a playground answers at {place}")
            return
        yield error("port", f"{place} cannot be listened on: {failure.strerror}", _advice_on(failure))
    else:
        yield ok("port", f"{place} is free")


def _advice_on(failure: OSError) -> str:
    if isinstance(failure, socket.gaierror) or failure.errno == errno.EADDRNOTAVAIL:
        return "set HOST to a name or an address that this machine has (ip address lists them), such as 127.0.0.1"
    if failure.errno == errno.EACCES:
        return "ports below 1024 are for root: set PORT to another one, 0 for any"
    return "end that program (ss -ltnp shows it), or set PORT to another one, 0 for any"


def _is_a_playground(settings: Settings) -> bool:
    host = settings.host if settings.host not in ("", "0.0.0.0", "::") else "127.0.0.1"  # noqa: S104 - looked at only
    try:
        with urllib.request.urlopen(f"http://{host}:{settings.port}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def secrets(settings: Settings) -> Iterator[Finding]:
    """Whether others can read the files with keys."""
    if not settings.secrets_dir:
        return
    readable = [
        file.name
        for file in sorted(Path(settings.secrets_dir).iterdir())
        if file.is_file() and stat.S_IMODE(file.stat().st_mode) & OTHERS and os.access(file, os.R_OK)
    ]
    if readable:
        yield warning(
            "secrets",
            f"other users can read {', '.join(readable)} in {settings.secrets_dir}",
            f"chmod 600 {settings.secrets_dir}/*",
        )
    else:
        yield ok("secrets", f"{settings.secrets_dir} is closed to others")


def protocol_sdk(_settings: Settings) -> Iterator[Finding]:
    """Whether the SDK is there, and what it can do."""
    found = sdk.probe()
    if not found["sdk_available"]:
        yield error(
            "protocol SDK",
            "aitp-sdk is not installed here, or does not load",
            "install this package's requirements again (make .venv/.run, pip install --force-reinstall aitp-sdk)",
        )
        return
    lacking = [name for name, there in found["features"].items() if not there]
    said = f"aitp-sdk {found['version']}"
    if lacking:
        advice = "steps that need it are skipped; pip install --upgrade aitp-sdk"
        yield warning("protocol SDK", f"{said} has no {', '.join(lacking)}", advice)
    else:
        yield ok("protocol SDK", said)


def door(settings: Settings) -> Iterator[Finding]:
    """Whether whoever reaches it gets in."""
    try:
        settings.refuse_open_door()
    except ConfigurationError as failure:
        yield error("door", failure.message, "see above")
    else:
        keys = len(settings.playground_api_keys)
        yield ok("door", f"{keys} API keys" if keys else "open to this machine alone")
