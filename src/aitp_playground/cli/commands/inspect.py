"""``inspect``: a token, a manifest or another signed document, read and judged."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import click

from aitp_playground.cli import completion
from aitp_playground.cli.exits import FAILED, SUCCESS, UNPROVEN
from aitp_playground.cli.terminal.lines import print_json, say
from aitp_playground.errors import ConfigurationError

_FETCH_SECONDS: Final = 10.0
_TIMES: Final = frozenset({"exp", "iat", "published_at", "expires_at", "timestamp", "revoked_at"})
_LATEST: Final = 253_402_300_800
#: Of a long list of entries.
_SHOWN: Final = 50


@click.command("inspect")
@click.argument("source", metavar="FILE|URL|-", shell_complete=completion.files)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON, one object.",
)
def command(source: str, as_json: bool) -> int:
    """Show what a token, manifest, revocation list, envelope or session bundle says, and whether it holds.

    It is read from a file, from standard input (-) or from an address. What is judged is the thing by itself, now: its
    form, its signature by the key that its issuer's AID is, its end.

    \b
    Exit codes: 0 it holds, 1 it does not, 2 it is none of these or cannot be read,
    3 it cannot be judged by itself.

    \b
    Example:
      aitp-playground inspect http://localhost:8100/.well-known/aitp-manifest
    """
    from aitp_playground.cli.inspecting.documents import LARGEST, inspect

    now = time.time()
    found = inspect(_read(source, LARGEST), now)
    if as_json:
        print_json(found.told(), indent=None)
    else:
        for line in _lines(found, now):
            say(line)
    return {"good": SUCCESS, "bad": FAILED, "unknown": UNPROVEN}[found.verdict]


def _read(source: str, most: int) -> bytes:
    """Raises ConfigurationError, for exit code 2."""
    from aitp_playground.cli.inspecting.reading import read_source

    if source.startswith(("http://", "https://")):
        return asyncio.run(_fetched(source, most))
    return read_source(source, most)


async def _fetched(url: str, most: int) -> bytes:
    from aitp_playground.net import FetchFailed, client_session, fetch_document

    async with client_session() as http:
        try:
            return await fetch_document(http, url, seconds=_FETCH_SECONDS, limit=most)
        except FetchFailed as failure:
            raise ConfigurationError(str(failure)) from failure


def _lines(found: Any, now: float, indent: str = "") -> Iterator[str]:
    verdict = {"good": "holds", "bad": f"does not hold: {found.code}", "unknown": "cannot be judged by itself"}
    yield f"{indent}{found.kind}: {verdict[found.verdict]}"
    yield f"{indent}  {found.said}"
    if found.header is not None:
        yield f"{indent}  header"
        yield from _fields(found.header, now, indent + "    ")
    yield f"{indent}  {'claims' if found.header is not None else 'content'}"
    inner = found.inner or {}
    yield from _fields(
        {name: value for name, value in found.document.items() if name not in inner}, now, indent + "    "
    )
    for name, each in inner.items():
        yield f"{indent}  {name}"
        yield from _lines(each, now, indent + "    ")
    for note in found.notes:
        yield f"{indent}  note: {note}"


def _fields(told: Mapping[str, Any], now: float, indent: str) -> Iterator[str]:
    for name, value in told.items():
        if isinstance(value, Mapping) and value:
            yield f"{indent}{name}"
            yield from _fields(value, now, indent + "  ")
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            yield f"{indent}{name}: {len(value)}"
            for item in value[:_SHOWN]:
                yield f"{indent}  {_plain(item)}"
            if len(value) > _SHOWN:
                yield f"{indent}  … and {len(value) - _SHOWN} more"
        else:
            yield f"{indent}{name}: {_plain(value)}{_when(name, value, now)}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _when(name: str, value: Any, now: float) -> str:
    if name not in _TIMES or type(value) is not int or not 0 <= value < _LATEST:
        return ""
    moment = datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    seconds = round(value - now)
    return f" ({moment}, {_span(seconds)} from now)" if seconds >= 0 else f" ({moment}, {_span(-seconds)} ago)"


def _span(seconds: int) -> str:
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
