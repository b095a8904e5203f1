"""Handshakes of which only the initiator wants something.

The protocol has none: in each handshake both sides issue a token, and neither may be empty. So the initiator shows its
manifest as it is, grants a single capability of those that were asked for, and does not honour that token. Its hello
says so in an extension, and a responder that knows it keeps nothing (RFC-AITP-0012 lets others ignore it).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import aitp

EXTENSION = "io.aitp-playground.direction"


def marked(hello: str, agent: aitp.AitpAgent) -> str:
    """The hello with the extension, signed anew under its own id and time: the identity's proof is bound to both."""
    envelope = json.loads(hello)
    return agent.sign_envelope(
        envelope["message_type"],
        json.dumps(envelope["payload"]),
        extensions_json=json.dumps({EXTENSION: "one"}),
        message_id=envelope["message_id"],
        timestamp=envelope["timestamp"],
    )


def is_marked(message: dict[str, Any]) -> bool:
    """Whether a hello, whose signature was checked, says that its initiator's token is of no use."""
    extensions = message.get("extensions")
    return isinstance(extensions, dict) and extensions.get(EXTENSION) == "one"


def first_alone(ack: str, offered: Sequence[str]) -> str:
    """An acknowledgement, whose signature was checked, that asks for one capability only: the first of those asked for
    and offered. The SDK grants whatever it asks for."""
    envelope = json.loads(ack)
    requested = envelope["payload"]["requested_grants"]
    envelope["payload"]["requested_grants"] = [grant for grant in requested if grant in offered][:1]
    return json.dumps(envelope)
