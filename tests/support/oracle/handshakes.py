"""Handshakes: who was greeted, by whom, and whether each side took what it should have taken (RFC-AITP-0004)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from aitp_verifier.envelope import verify_envelope
from aitp_verifier.errors import AitpError

from tests.support.oracle.facts import Facts
from tests.support.oracle.lists import Lists
from tests.support.oracle.recording import Contradiction, Document, claims_of, envelope_in, parsed, same
from tests.support.oracle.signed import Signed

HANDSHAKE, INITIATE = "/aitp/handshake", "/admin/initiate-handshake"
SESSION_HEADER = "x-aitp-session-id"
#: Seconds for which a responder waits for the commit (docs/agents.md, "Handshakes").
OPEN_SECS = 60


@dataclass
class Session:
    """A greeting that was answered, and when (Unix seconds)."""

    hello: Document
    ack: Document
    name: str | None
    at: float
    is_spent: bool = False


class Handshakes:
    """Judges both sides: the responder by its answers, the initiator by what it told the service."""

    def __init__(self, facts: Facts, signed: Signed, lists: Lists) -> None:
        self._facts = facts
        self._signed = signed
        self._lists = lists
        self._sessions: defaultdict[str, list[Session]] = defaultdict(list)
        #: Agent -> sender and id of every message that it has taken.
        self._taken: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        #: Agent -> what it asked of others in handshakes, in the order in which it did.
        self._asked: defaultdict[str, list[Document]] = defaultdict(list)

    def note(self, message: Document) -> None:
        """An agent sends a message of a handshake."""
        if envelope_in(message["body"]) is not None:
            self._asked[message["agent"]].append(message)

    def verdict(self, message: Document, at: int) -> tuple[str, str | None] | None:
        """What kind of a decision this is, and why it is to be refused; None when it is right, or no decision."""
        if message["path"] == INITIATE:
            return "handshake", self._of_exchange(message)
        if not message["path"].startswith(HANDSHAKE):
            return None
        envelope = envelope_in(message["body"])
        kind = envelope["message_type"] if envelope is not None else None
        if envelope is None or kind not in ("mutual_hello", "mutual_commit"):
            return None if kind == "error" else ("greeting", "no message of a handshake")
        judge, name = (self._greet, "greeting") if kind == "mutual_hello" else (self._commit, "commit")
        try:
            self._let_in(message, envelope, at)
            judge(message, envelope, at)
        except AitpError as error:
            return name, str(error.code)
        except Contradiction as error:
            return name, str(error)
        return name, None

    def _let_in(self, message: Document, envelope: Document, at: int) -> None:
        """RFC-AITP-0001, sections 5.4 and 5.5: it is new, of now, and signed by somebody who was introduced."""
        verify_envelope({"envelope": envelope}, at)
        sender, name = envelope["sender"]["agent_id"], envelope["message_id"]
        if (sender, name) in self._taken[message["agent"]]:
            raise AitpError("REPLAY_DETECTED", "this was received before")
        self._taken[message["agent"]].add((sender, name))
        if self._facts.introduced(message, sender) is None:
            raise AitpError("IDENTITY_FAILED", "it was not introduced")

    def _greet(self, message: Document, hello: Document, at: int) -> None:
        """Section 5.1."""
        accepted = message["rules"]["accepted_identity_types"]
        given = {"self_aid": message["aid_before"], "self_accepted_identity_types": accepted}
        self._signed.identity(hello, message, at, **given)
        ack = envelope_in(message["answer"])
        if message["status"] == 200 and ack is not None:
            name = message["answer_headers"].get(SESSION_HEADER)
            self._sessions[message["agent"]].append(Session(hello, ack, name, message["until"]))

    def _commit(self, message: Document, commit: Document, at: int) -> None:
        """Section 5.3: it belongs to a greeting that is open, and its token may be taken."""
        sender = commit["sender"]["agent_id"]
        session = self._session(message, commit)
        session.is_spent = True
        if commit["payload"].get("pop_nonce_echo") != session.ack["payload"]["pop_nonce"]:
            raise AitpError("NONCE_MISMATCH", "another nonce is echoed")
        if session.ack["sender"]["agent_id"] != message["aid_before"]:
            raise AitpError("INVALID_ENVELOPE", "the agent has another key since")
        self._signed.commit(commit, at)
        offered = session.ack["payload"]["manifest"]["offered_capabilities"]
        if not set(session.hello["payload"]["requested_grants"]) & set(offered):
            raise AitpError("POLICY_VIOLATION", "nothing that was asked for is offered")
        jti = claims_of(commit["payload"]["tct"])["jti"]
        if (refused := self._lists.refuses(message, sender, jti, session.at)) is not None:
            raise Contradiction(refused)
        if message["status"] == 200:
            given = parsed(message["answer"])["payload"]["tct"]
            self._facts.to_be_told[message["agent"], "handshake.answered", claims_of(given)["jti"]] += 1

    def _session(self, message: Document, commit: Document) -> Session:
        name, echo = message["headers"].get(SESSION_HEADER), commit["payload"].get("pop_nonce_echo")
        for session in self._sessions[message["agent"]]:
            fits = session.name == name if name is not None else session.ack["payload"]["pop_nonce"] == echo
            is_its = session.hello["sender"]["agent_id"] == commit["sender"]["agent_id"]
            if fits and is_its and not session.is_spent and message["at"] <= session.at + OPEN_SECS:
                return session
        raise AitpError("INVALID_ENVELOPE", "no such handshake is open")

    def _of_exchange(self, message: Document) -> str | None:
        """Why the initiator is to fail this handshake (sections 5.2 and 5.4), by what it sent and got meanwhile."""
        told = parsed(message["body"])
        sent = [
            one
            for one in self._asked[message["agent"]]
            if one["at"] >= message["at"] and self._facts.target(one) == told.get("peer")
        ]
        hello = next((one for one in reversed(sent) if _kind(one) == "mutual_hello"), None)
        commit = next((one for one in reversed(sent) if _kind(one) == "mutual_commit"), None)
        if hello is None:
            return "no greeting was sent"
        if _answer(hello) != "mutual_hello_ack":
            return "the greeting was not acknowledged"
        issuer, ack = self._facts.peer(message, told["peer"]), parsed(hello["answer"])
        if ack["sender"]["agent_id"] != issuer:
            return "it was acknowledged by another"
        if ack["payload"]["identity"]["type"] not in message["rules"]["accepted_identity_types"]:
            return "INCOMPATIBLE_IDENTITY_TYPE"
        if commit is None:  # then nothing was wrong when it gave up
            return "no commit was sent" if message["status"] == 200 else None
        if _answer(commit) != "mutual_commit_ack":
            return "the commit was not answered with another"
        greeting, token = parsed(hello["body"])["payload"], parsed(commit["answer"])["payload"]["tct"]
        claims = claims_of(token)
        if (refused := self._lists.refuses(message, issuer, claims["jti"], message["at"])) is not None:
            return refused
        offered = self._facts.manifest(issuer)["offered_capabilities"]
        same("what is requested", greeting["requested_grants"], told.get("requested_grants") or offered)
        if message["status"] == 200:
            same("the token that was taken", parsed(message["answer"])["received"]["jti"], claims["jti"])
            self._facts.to_be_told[message["agent"], "handshake.complete", claims["jti"]] += 1
        return None


def _kind(message: Document) -> str | None:
    envelope = envelope_in(message["body"])
    return None if envelope is None else envelope["message_type"]


def _answer(message: Document) -> str | None:
    envelope = envelope_in(message["answer"]) if message["status"] == 200 else None
    return None if envelope is None else envelope["message_type"]
