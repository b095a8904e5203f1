"""What the tapped workers of ``tests/variants`` have written down, and how it is read."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from aitp_verifier.errors import AitpError
from aitp_verifier.jws import parse_compact

Document = dict[str, Any]
_JWS = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")


class Contradiction(AssertionError):
    """The oracle takes something for wrong that the agents took for right, or the other way round."""


def read_tap(file: Path) -> list[Document]:
    """What was written down, in the order in which it began."""
    return sorted(map(json.loads, file.read_text().splitlines()), key=lambda message: message["at"])


def whole(messages: Iterable[Document]) -> list[Document]:
    """Each message once: what was sent and answered is told by the answer's line, what was cut off has no status.

    Whoever refuses something may leave its body unread: then it is what was sent.
    """
    told = list(messages)
    asked = {message["id"]: {**message, "side": "asked"} for message in told if message["side"] == "sent"}
    asked |= {message["id"]: message for message in told if message["side"] == "asked"}
    served = [message for message in told if message["side"] == "served"]
    for number, message in enumerate(served):
        if not message["body"] and message["status"] != 200 and message["id"] in asked:
            served[number] = {**message, "body": asked[message["id"]]["body"]}
    return [*asked.values(), *served]


def in_order(messages: Iterable[Document]) -> Iterator[tuple[int, Document, Literal["request", "answer"]]]:
    """Requests and answers in the order in which they were made, with the second of each."""
    parts: list[tuple[float, Document, Literal["request", "answer"]]] = []
    for message in messages:
        parts.append((message["at"], message, "request"))
        if message["status"] is not None:
            parts.append((message["until"], message, "answer"))
    for at, message, part in sorted(parts, key=lambda entry: entry[0]):
        yield int(at), message, part


def contradiction(message: Document, why: str) -> Contradiction:
    where = f"{message['agent']} {message['side']} {message.get('method')} {message['path']} -> {message['status']}"
    return Contradiction(f"{where}: {why}")


def same(what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise Contradiction(f"{what}: {found!r}, not {expected!r}")


def parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def of_header(name: str, value: str | None) -> Any:
    """What is in a header: a token as it stands, or a document in base64url; None for what is neither."""
    if name not in ("x-aitp-pop", "x-aitp-pop-response"):
        return value
    if not value:
        return None
    try:
        return parsed(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode())
    except ValueError:
        return None


def envelope_in(text: str) -> Document | None:
    """The envelope that a body is; None when it is something else."""
    document = parsed(text)
    is_one = isinstance(document, dict) and "message_type" in document and isinstance(document.get("payload"), dict)
    return document if is_one else None


def sender_of(envelope: Document) -> str | None:
    """Whose an envelope says that it is."""
    sender = envelope.get("sender")
    return str(sender.get("agent_id")) if isinstance(sender, dict) else None


def port_of(url: str) -> int | None:
    """The port on this machine that a URL leads to."""
    parts = urlsplit(url)
    return parts.port if parts.hostname in ("localhost", "127.0.0.1") else None


def typ(text: str) -> str | None:
    """What a token says that it is; None for what is no token."""
    if not _JWS.fullmatch(text):
        return None
    try:
        said: str | None = parse_compact(text).header.get("typ")
    except AitpError:
        return None
    return said


def claims_of(token: str) -> Document:
    """The claims of a token, whoever signed it. Raises ``AitpError``."""
    claims: Document = parse_compact(token).claims
    return claims


def signed_things(document: Any) -> Iterator[Any]:
    """Everything with a signature, outermost first; what is in a manifest, a list or a bundle is verified with it."""
    if isinstance(document, str):
        yield from _JWS.findall(document)
    elif isinstance(document, list):
        for entry in document:
            yield from signed_things(entry)
    elif isinstance(document, dict):
        is_whole = "signature" in document or "session_bundle" in document
        if is_whole:
            yield document
        if not is_whole or "message_type" in document:
            for value in document.values():
                yield from signed_things(value)
        elif "session_bundle" in document:
            yield from tokens_in(document)


def tokens_in(document: Any) -> list[str]:
    return _JWS.findall(json.dumps(document))
