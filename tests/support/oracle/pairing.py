"""Both sides of each message between agents of a run have to tell the same of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from aitp_verifier.errors import AitpError

from tests.support.oracle.facts import Facts
from tests.support.oracle.recording import (
    Document,
    claims_of,
    contradiction,
    envelope_in,
    of_header,
    sender_of,
)

#: How the agents' own HTTP client calls itself.
CLIENT = "aitp-agent"


def pair(messages: Iterable[Document], facts: Facts) -> None:
    """Raises ``Contradiction`` for what one side alone has written down, or each in another way.

    What was asked of nobody in this run (a Control Plane, a dead end), and what the service or a stranger asked, has
    one side. What was cut off may have been served or not: nothing came of it that the one who asked could go by.
    """
    asked: list[Document] = []
    served: defaultdict[str | None, list[Document]] = defaultdict(list)
    for message in messages:
        if message["side"] == "served":
            served[message["id"]].append(message)
        else:
            asked.append(message)
    for message in asked:
        others, target = served.pop(message["id"], []), facts.target(message)
        if len(others) > 1:
            raise contradiction(message, "it was served more than once")
        if target is not None and message["status"] is None:
            facts.seen["cut off"] += 1
        if others:
            _compare(message, others[0], target)
            _check_credentials(message, facts)
        elif target is not None and message["status"] is not None:
            raise contradiction(message, f"{target} has not written it down")
    for message in (one for unasked in served.values() for one in unasked):
        if message["id"] is not None or _is_of_an_agent(message, facts):
            raise contradiction(message, "no agent has written down that it asked for it")


def _compare(asked: Document, served: Document, target: str | None) -> None:
    told = {
        "agent": (target, served["agent"]),
        "method": (asked["method"], served["method"]),
        "path": (unquote(urlsplit(asked["path"]).path), served["path"]),
        "headers": (asked["headers"], served["headers"]),
        "body": (asked["body"], served["body"]),
    }
    if asked["status"] is not None:
        told |= {name: (asked[name], served[name]) for name in ("status", "answer", "answer_headers")}
    for name, (one, other) in told.items():
        if one != other:
            raise contradiction(asked, f"{name}: {one!r:.200} here, {other!r:.200} there")


def _check_credentials(message: Document, facts: Facts) -> None:
    """What is granted is granted to the one who asked, and not to whose words it passed on."""
    if message["status"] == 200:
        for aid in _shown_by(message):
            if aid not in facts.aids[message["agent"]]:
                raise contradiction(message, f"asked as {aid}, who is another")


def _is_of_an_agent(message: Document, facts: Facts) -> bool:
    """Whether what bears no number was asked by an agent of this run, past what writes down, and served with success.

    The service commands agents and looks up what they publish, as others may who are not of the run.
    """
    if message["status"] != 200 or message["path"].startswith("/admin/"):
        return False
    return message["client"] == CLIENT or any(map(facts.is_agents, _shown_by(message)))


def _shown_by(message: Document) -> Iterable[str]:
    """The AIDs under which something was asked."""
    headers = message["headers"]
    proof = of_header("x-aitp-pop-response", headers.get("x-aitp-pop-response"))
    for envelope in (envelope_in(message["body"]), proof):
        if isinstance(envelope, dict) and (sender := sender_of(envelope)) is not None:
            yield sender
    try:
        yield str(claims_of(headers.get("x-aitp-tct", "")).get("sub"))
    except AitpError:
        return
