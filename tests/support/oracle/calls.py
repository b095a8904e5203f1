"""Calls, renewals, bundles and redemptions: what the one who was asked decided, against what the oracle says."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from aitp_verifier.delegation import verify_delegation_token
from aitp_verifier.envelope import verify_envelope
from aitp_verifier.errors import AitpError
from aitp_verifier.revocation import verify_revocation_snapshot
from aitp_verifier.tct import presenter_from_pop, verify_tct_as_issuer

from tests.support.oracle.facts import Facts
from tests.support.oracle.lists import Lists
from tests.support.oracle.recording import Contradiction, Document, claims_of, envelope_in, of_header, parsed, same
from tests.support.oracle.signed import check_voucher, only_tct

RENEW, REDEEM, BUNDLES, CALLS = "/aitp/tct/renew", "/aitp/delegation/redeem", "/aitp/session-bundles/", "/capabilities/"
EXPORT = "/admin/export-session-bundle"
#: Seconds that a renewed token lives unless its holder asks for another time (docs/agents.md, "Renewing a token").
DEFAULT_TTL = 3600


class Calls:
    """Judges what is done under a token or a delegation."""

    def __init__(self, facts: Facts, lists: Lists) -> None:
        self._facts = facts
        self._lists = lists
        #: Agent -> the challenges that it gave out and that were not answered.
        self._challenges: defaultdict[str, dict[str, Document]] = defaultdict(dict)
        #: Delegation, without its signature -> the token that it was redeemed for.
        self._redeemed: dict[str, str] = {}
        #: Name of a bundle -> whose tokens are in it.
        self._participants: dict[str, list[str]] = {}

    def note(self, message: Document) -> None:
        """What an agent gave out that somebody may come back with."""
        if message["path"] == EXPORT and message["status"] == 200:
            told = parsed(message["answer"])
            self._participants[told["bundle_ref"]] = told["participant_aids"]
        envelope = envelope_in(message["answer"])
        if envelope is not None and envelope["message_type"] == "pop_challenge":
            self._challenges[message["agent"]][envelope["payload"]["nonce"]] = envelope["payload"]

    def verdict(self, message: Document, at: int) -> tuple[str, str | None] | None:
        """What kind of a decision this is, and why it is to be refused; None when it is to be granted, or is none."""
        path = message["path"]
        if path.startswith(CALLS):
            return "call", self._of_call(message, path.removeprefix(CALLS), at)
        if path == RENEW or path.startswith(BUNDLES):
            return "holder", self._of_call(message, None, at)
        if path == REDEEM:
            return "redemption", self._of_redemption(message, at)
        return None

    def _of_call(self, message: Document, capability: str | None, at: int) -> str | None:
        """RFC-AITP-0005, section 10.5."""
        asked = parsed(message["body"])
        token = message["headers"].get("x-aitp-tct")
        if message["path"] == RENEW:
            token = asked.get("current_tct") if isinstance(asked, dict) else None
        if not isinstance(token, str):
            return "no token"
        envelope = of_header("x-aitp-pop-response", message["headers"].get("x-aitp-pop-response"))
        given = {
            "tct_token": token,
            "self_aid": message["aid_before"],
            "envelope": envelope,
            "outstanding_pop_challenges": list(self._challenges[message["agent"]].values()),
            "issuer_revocation_list": {"snapshot": parsed(message["list"])},
        }
        try:
            granted = verify_tct_as_issuer(given, at)["grants"]
            verify_envelope({"envelope": envelope}, at)
        except AitpError as error:
            return str(error.code)
        # A challenge is answered once (RFC-AITP-0005, section 6.2).
        del self._challenges[message["agent"]][envelope["payload"]["nonce_echo"]]
        claims = claims_of(token)
        if capability is not None and capability not in granted:
            return "not granted"
        if claims["jti"] in self._facts.withheld:
            return "not honoured"
        if message["path"].startswith(BUNDLES):
            participants = self._participants.get(message["path"].removeprefix(BUNDLES), [])
            if claims["sub"] not in participants:
                return "no participant"
        refused = self._lists.unknown(message, capability, at) or self._of_line(message, claims["jti"], at)
        if refused is None and not isinstance(asked, dict):
            return "no object"
        if refused is None and is_let_in(message):
            self._granted(message, claims)
        return refused

    def _granted(self, message: Document, claims: Document) -> None:
        if message["path"] == RENEW:
            self._check_renewed(message, claims)
        elif message["path"].startswith(CALLS):
            self._facts.to_be_told[message["agent"], "capability.invoked", claims["jti"]] += 1

    def _check_renewed(self, message: Document, before: Document) -> None:
        """RFC-AITP-0005, section 9: the same grants for the same key, under a name of its own, for as long as was asked
        for; no longer than its issuer's manifest, and of what was redeemed than its delegation."""
        asked, answer = parsed(message["body"]), parsed(message["answer"])
        claims = only_tct(answer)
        for name in ("iss", "sub", "aud", "cnf", "grants"):
            same(f"{name} of what was renewed", claims[name], before[name])
        check_voucher(answer, claims)
        if claims["jti"] == before["jti"]:
            raise Contradiction("a renewed token has the id of the one before it")
        manifest = self._facts.manifest(claims["iss"])
        wanted, life = asked.get("ttl_secs", DEFAULT_TTL), claims["exp"] - claims["iat"]
        ends = [manifest["expires_at"] - manifest["published_at"]]
        if before["jti"] in self._facts.redeemed:
            ends.append(before["exp"] - claims["iat"])
        expected = min(wanted, *ends)
        # Of a manifest, or a delegation, with which it ends, a second may have passed.
        if not expected - (min(ends) <= wanted) <= life <= expected:
            raise Contradiction(f"a renewed token lives {life} s, not {expected} s")
        self._facts.descends(claims["jti"], before["jti"], redeemed=False)
        self._facts.to_be_told[message["agent"], "tct.renewal.issued", claims["jti"]] += 1

    def _of_redemption(self, message: Document, at: int) -> str | None:
        """RFC-AITP-0006, section 4."""
        envelope = envelope_in(message["body"])
        delegation = None if envelope is None else envelope["payload"].get("delegation_token")
        if envelope is None or not isinstance(delegation, str):
            return "no redemption"
        snapshot = {"issuer_aid": message["aid_before"], "snapshot": parsed(message["list"])}
        given = {"delegation_token": delegation, "self_aid": message["aid_before"], "revocation_snapshots": [snapshot]}
        try:
            verify_envelope({"envelope": envelope}, at)
            scope = verify_delegation_token(given, at)["grants"]
            claims = claims_of(delegation)
            if envelope["sender"]["agent_id"] != claims["sub"]:
                return "not its delegatee"
            self._require_proof(message, envelope, claims["sub"], at)
        except AitpError as error:
            return str(error.code)
        if self._facts.introduced(message, claims["iss"]) is None:
            return "of an unknown delegator"
        source = str(claims_of(claims["voucher"])["src_jti"])
        if source in self._facts.withheld:
            return "not honoured"
        if _body_of(delegation) not in self._redeemed and not self._facts.has_manifest(message, claims["iss"]):
            return "of a delegator whose manifest was not had"
        refused = self._lists.unknown(message, None, at) or self._of_line(message, source, at)
        if refused is None and message["status"] == 200:
            self._check_redeemed(message, delegation, scope, source)
        return refused

    def _require_proof(self, message: Document, envelope: Document, delegatee: str, at: int) -> None:
        """Section 4, step 9: the key that it is for has answered a challenge of this very agent's, once."""
        open_ones = self._challenges[message["agent"]]
        given = {"envelope": envelope, "outstanding_pop_challenges": list(open_ones.values())}
        presenter_from_pop(given, {"jti": envelope["payload"].get("tct_jti"), "sub": delegatee}, at)
        del open_ones[envelope["payload"]["nonce_echo"]]

    def _check_redeemed(self, message: Document, delegation: str, scope: list[str], source: str) -> None:
        """Section 7: for the delegatee's own key, no more and no longer than was delegated, and one token for it."""
        answer, delegated = parsed(message["answer"]), claims_of(delegation)
        claims = only_tct(answer)
        same("holder of what was redeemed", claims["sub"], delegated["sub"])
        same("binding of what was redeemed", claims["cnf"], delegated["cnf"])
        if not set(claims["grants"]) <= set(scope) or claims["exp"] > delegated["exp"]:
            raise Contradiction("what was redeemed goes beyond what was delegated")
        check_voucher(answer, claims)
        first = self._redeemed.setdefault(_body_of(delegation), claims["jti"])
        same("token for a delegation that was redeemed before", claims["jti"], first)
        self._facts.descends(claims["jti"], source, redeemed=True)
        self._facts.to_be_told[message["agent"], "delegation.redeemed", claims["jti"]] = 1

    def _of_line(self, message: Document, jti: str, at: int) -> str | None:
        """Whether the token, or one that it came of (RFC-AITP-0008, section 1.1), is on a list that counts here."""
        for signed in (parsed(message["list"]), *self._lists.of_outside(message["agent"])):
            asked = {"snapshot": signed, "expected_issuer": signed["revocation_list"]["issuer"]}
            for ancestor in self._facts.line_of(jti):
                try:
                    verify_revocation_snapshot(asked | {"queried_jti": ancestor}, at)
                except AitpError as error:
                    return str(error.code)
        return None


def is_let_in(message: Document) -> bool:
    """Whether what was asked for was done. How a capability fails is its own: it does not say whether to try again."""
    answer = parsed(message["answer"])
    error: Any = answer.get("error") if isinstance(answer, dict) else None
    of_capability = isinstance(error, dict) and "retryable" not in error and message["status"] in (400, 500)
    return message["status"] == 200 or (message["path"].startswith(CALLS) and of_capability)


def _body_of(delegation: str) -> str:
    """What makes two delegations one: a key can sign the same in several ways."""
    return delegation.rpartition(".")[0]
