"""What an agent told the service that it has done: it asked others for that, and looked at their lists before."""

from __future__ import annotations

from collections import defaultdict

from tests.support.oracle.calls import BUNDLES, REDEEM, RENEW
from tests.support.oracle.facts import Facts
from tests.support.oracle.lists import Lists
from tests.support.oracle.recording import Contradiction, Document, claims_of, parsed, same
from tests.support.oracle.signed import only_tct

INVOKE, VERIFY_BUNDLE = "/admin/invoke", "/admin/verify-session-bundle"
#: Errand -> the route of a peer's that gives the token.
_ROUTE = {"/admin/redeem-delegation": REDEEM, "/admin/renew-tct": RENEW}
#: Errand -> the member of the command that names the peer whose token is then kept, or relied on.
_PEER = {"/admin/redeem-delegation": "target", "/admin/renew-tct": "peer", VERIFY_BUNDLE: "coordinator"}


class Errands:
    """Judges what an agent told the service that it has done."""

    def __init__(self, facts: Facts, lists: Lists) -> None:
        self._facts = facts
        self._lists = lists
        #: Agent -> what it asked of others and was answered.
        self._answered: defaultdict[str, list[Document]] = defaultdict(list)

    def note(self, message: Document) -> None:
        """An agent was given an answer by another."""
        self._answered[message["agent"]].append(message)

    def check(self, message: Document) -> None:
        """Raises ``Contradiction`` for what was not done, or should not have been."""
        path = message["path"]
        if path not in (INVOKE, *_PEER) or message["status"] != 200:
            return
        told, answer = parsed(message["body"]), parsed(message["answer"])
        basis = next((one for one in self._since(message) if _bears_out(one, path, told, answer)), None)
        if basis is None:
            raise Contradiction("nobody was asked for what the service is told")
        if path == INVOKE:
            return
        issuer, is_bundle = self._facts.peer(message, told[_PEER[path]]), path == VERIFY_BUNDLE
        refused = self._lists.refuses(message, issuer, str(answer.get("jti")), message["at"], anew=is_bundle)
        if refused is not None:
            raise Contradiction(f"answered 200; the oracle says {refused}")
        if is_bundle:
            self._check_bundle(message, issuer, parsed(basis["answer"])["session_bundle"], answer)

    def _since(self, message: Document) -> list[Document]:
        return [one for one in self._answered[message["agent"]] if one["at"] >= message["at"]]

    def _check_bundle(self, message: Document, issuer: str, bundle: Document, answer: Document) -> None:
        """RFC-AITP-0010, section 5: whose token is revoked is no part of the session."""
        dropped = {
            participant["aid"]
            for participant in bundle["participants"]
            if self._lists.denies(message["agent"], issuer, claims_of(participant["tct"])["jti"])
        }
        same("who is dropped", set(answer["dropped_aids"]), dropped)
        same("who is active", set(answer["active_aids"]), {one["aid"] for one in bundle["participants"]} - dropped)


def _bears_out(asked: Document, path: str, told: Document, answer: Document) -> bool:
    """Whether what the service was told is what came of this."""
    if path == INVOKE:
        return bool((asked["status"], parsed(asked["answer"])) == (answer["status_code"], answer["body"]))
    if path == VERIFY_BUNDLE:
        return bool(asked["status"] == 200 and asked["path"].endswith(BUNDLES + told["bundle_ref"]))
    is_its = asked["status"] == 200 and asked["path"].endswith(_ROUTE[path])
    return bool(is_its and only_tct(parsed(asked["answer"]))["jti"] == answer["jti"])
