"""What an agent did for the service with tokens that others gave: it has looked at their issuers' lists before."""

from __future__ import annotations

from tests.support.oracle.calls import BUNDLES
from tests.support.oracle.facts import Facts
from tests.support.oracle.lists import Lists
from tests.support.oracle.recording import Contradiction, Document, claims_of, parsed, same

VERIFY_BUNDLE = "/admin/verify-session-bundle"
#: Errand -> the member of the command that names the peer whose token is then kept, or relied on.
_PEER = {"/admin/redeem-delegation": "target", "/admin/renew-tct": "peer", VERIFY_BUNDLE: "coordinator"}


class Errands:
    """Judges what an agent told the service that it has done."""

    def __init__(self, facts: Facts, lists: Lists) -> None:
        self._facts = facts
        self._lists = lists
        #: Agent and name of a bundle -> the bundle that it was given last.
        self._bundles: dict[tuple[str, str], Document] = {}

    def note(self, message: Document) -> None:
        """An agent was given something that it asked for."""
        name = message["path"].rpartition(BUNDLES)[2]
        if name != message["path"] and message["status"] == 200:
            self._bundles[message["agent"], name] = parsed(message["answer"])["session_bundle"]

    def check(self, message: Document) -> None:
        """Raises ``Contradiction`` for what was done and should not have been."""
        path = message["path"]
        if path not in _PEER or message["status"] != 200:
            return
        told, answer = parsed(message["body"]), parsed(message["answer"])
        issuer, is_bundle = self._facts.peer(message, told[_PEER[path]]), path == VERIFY_BUNDLE
        refused = self._lists.refuses(message, issuer, str(answer.get("jti")), message["at"], anew=is_bundle)
        if refused is not None:
            raise Contradiction(f"answered 200; the oracle says {refused}")
        if is_bundle:
            self._check_bundle(message, issuer, self._bundles[message["agent"], told["bundle_ref"]], answer)

    def _check_bundle(self, message: Document, issuer: str, bundle: Document, answer: Document) -> None:
        """RFC-AITP-0010, section 5: whose token is revoked is no part of the session."""
        dropped = {
            participant["aid"]
            for participant in bundle["participants"]
            if self._lists.denies(message["agent"], issuer, claims_of(participant["tct"])["jti"])
        }
        same("who is dropped", set(answer["dropped_aids"]), dropped)
        same("who is active", set(answer["active_aids"]), {one["aid"] for one in bundle["participants"]} - dropped)
