"""Revocation lists: what each issuer has said one after the other, and who looked at it in time (RFC-AITP-0008)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from aitp_verifier.revocation import verify_revocation_snapshot

from tests.support.oracle.facts import Facts
from tests.support.oracle.recording import Contradiction, Document, parsed

#: Seconds that a TCT lives at most (RFC-AITP-0005, section 9.1): so long an entry stays whose token nobody has seen.
LONGEST_LIFE = 24 * 3600
#: Seconds for which an agent need not look again, and that a look may take (docs/agents.md, "Revocation").
RECENT_SECS, LOOK_SECS = 60, 2
ADVERTISED = "rfc-aitp-0008.revocation_list_uri"


@dataclass(frozen=True)
class Had:
    """A list that an agent was given, and when (Unix seconds)."""

    at: float
    signed: Document

    @property
    def body(self) -> Document:
        body: Document = self.signed["revocation_list"]
        return body

    def is_fresh(self, at: float, max_staleness: float) -> bool:
        """By its own date: a copy that somebody keeps serving must grow old."""
        return bool(at <= min(self.body["published_at"] + max_staleness, self.body["expires_at"]))


class Lists:
    """Every list of the recording, by whoever said it and by whoever was told."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        #: Who was told (None: whoever asks) and whose list -> the newest.
        self._newest: dict[tuple[str | None, str], Document] = {}
        self._had: defaultdict[str, list[Had]] = defaultdict(list)
        #: Agent -> when it asked for what.
        self._tried: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
        self._verified: set[str] = set()

    def own(self, message: Document, at: int) -> None:
        """What an agent has on its list while it serves something, whether or not anybody asks for it."""
        text, signed = message["list"], parsed(message["list"])
        if text not in self._verified:
            verify_revocation_snapshot({"snapshot": signed, "expected_issuer": message["aid_before"]}, at)
            self._verified.add(text)
        self._follow(None, message["agent"], signed, at)

    def tried(self, message: Document) -> None:
        self._tried[message["agent"]].append((message["at"], message["path"]))

    def take(self, message: Document, signed: Document, at: int) -> None:
        """A list that was given out, as who gave it or who got it has written down."""
        issuer, agent = signed["revocation_list"]["issuer"], message["agent"]
        if message["side"] == "served":
            whose, expected, told = agent, {message["aid"], message["aid_before"]}, None
        else:
            target = self._facts.target(message)
            expected = self._facts.aids[target] if target is not None else set(self._facts.outside)
            whose, told = target or issuer, agent
        if issuer not in expected:
            raise Contradiction("a list of another issuer than the one asked")
        verify_revocation_snapshot({"snapshot": signed, "expected_issuer": issuer}, at)
        self._follow(told, whose, signed, at)
        if told is not None:
            self._had[told].append(Had(message["until"], signed))

    def _follow(self, told: str | None, whose: str, signed: Document, at: int) -> None:
        """Nothing is taken back: an entry may go when its token has expired (section 4.1), and time goes forward."""
        body = signed["revocation_list"]
        before, self._newest[told, whose] = self._newest.get((told, whose)), body
        if before is None:
            return
        listed = {entry["jti"] for entry in body["entries"]}
        lost = [entry["jti"] for entry in before["entries"] if entry["jti"] not in listed and at < self._end(entry)]
        if lost:
            raise Contradiction(f"the list of {whose} no longer names {lost[0]}, which has not expired")
        if body["published_at"] < before["published_at"]:
            raise Contradiction(f"the list of {whose} is older than the one before it")

    def _end(self, entry: Document) -> int:
        known = self._facts.tcts.get(entry["jti"])
        return int(known["exp"] if known is not None else entry["revoked_at"] + LONGEST_LIFE)

    def of_outside(self, agent: str) -> list[Document]:
        """The newest list of each outside signer that the agent has asked for."""
        newest = {had.body["issuer"]: had.signed for had in self._had[agent]}
        return [signed for issuer, signed in newest.items() if issuer in self._facts.outside]

    def unknown(self, message: Document, capability: str | None, at: int) -> str | None:
        """Why nothing may be served without a fresh list of an outside signer (section 3.1); None when it may."""
        rules = message["rules"]
        mode, safe = rules["fail_mode"], rules["safe_caps"]
        if mode == "fail_open" or (mode == "soft_fail" and capability in safe):
            return None
        outside = [had for had in self._had[message["agent"]] if had.body["issuer"] in self._facts.outside]
        if any(had.is_fresh(at, rules["max_staleness_secs"]) for had in outside):
            return None
        return f"no fresh list of the Control Plane's, and the agent is told to {mode}"

    def refuses(self, message: Document, issuer: str, jti: str, since: float, *, anew: bool = False) -> str | None:
        """Why the agent may not take a token that ``issuer`` gave it (sections 1.4 and 3.1); None when it may.

        The look at the issuer's list began after ``since``; it was needless if a list came within the last minute,
        unless it must be looked at ``anew``.
        """
        agent, rules, end = message["agent"], message["rules"], message["until"]
        if self.denies(agent, issuer, jti):
            return "TCT_REVOKED"
        had = [one for one in self._had[agent] if one.body["issuer"] == issuer]
        address = self._facts.manifest(issuer).get("extensions", {}).get(ADVERTISED)
        if address is None:
            return None
        from_when = since if anew else message["at"] - RECENT_SECS
        if any(one.at >= from_when and end <= one.body["expires_at"] for one in had):
            return None
        # A look may have been going on already, for another exchange.
        begun = since if anew else since - LOOK_SECS
        if not any(url == address and at >= begun for at, url in self._tried[agent]):
            return f"the list of {issuer} was not asked for"
        is_known = any(one.is_fresh(end, rules["max_staleness_secs"]) for one in had)
        if rules["issuer_fail_mode"] == "fail_open" or is_known:
            return None
        return f"the list of {issuer} could not be had, and the agent is told to fail_closed"

    def denies(self, agent: str, issuer: str, jti: str) -> bool:
        """Whether a token of that issuer's is on a list that the agent has been given."""
        said = [one.body for one in self._had[agent] if one.body["issuer"] in {issuer, *self._facts.outside}]
        return any(entry["jti"] == jti for body in said for entry in body["entries"])
