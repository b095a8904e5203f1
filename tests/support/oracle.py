"""A second opinion on all that agents sign, by an implementation that shares no code with theirs.

It reads what the tapped workers of ``tests/variants`` have written down, verifies every manifest, envelope, token,
voucher, delegation, list and bundle with ``aitp-verifier``, and judges every call and redemption anew. What looks
signed and is none of these is a finding too, so that nothing goes by unseen.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from aitp_verifier.delegation import verify_delegation_token
from aitp_verifier.envelope import verify_envelope
from aitp_verifier.errors import AitpError
from aitp_verifier.handshake import verify_handshake_payload
from aitp_verifier.jws import parse_compact
from aitp_verifier.manifest import verify_manifest
from aitp_verifier.revocation import verify_revocation_snapshot
from aitp_verifier.sessionbundle import verify_session_bundle
from aitp_verifier.tct import verify_tct, verify_tct_as_issuer
from aitp_verifier.voucher import verify_grant_voucher

Document = dict[str, Any]
RENEW = "/aitp/tct/renew"
_JWS = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
_GREETINGS = {"mutual_hello", "mutual_hello_ack"}
_COMMITS = {"mutual_commit", "mutual_commit_ack"}
_OTHERS = {"pop_challenge", "pop_response", "error"}
#: Whether something is revoked is asked of the issuer's list where it is decided, not of each copy that goes by.
_ELSEWHERE = {"policy": {"fail_mode": "fail_open"}}


class Contradiction(AssertionError):
    """The oracle takes something for wrong that the agents took for right, or the other way round."""


def read_tap(file: Path) -> list[Document]:
    """What was written down, in the order in which it began."""
    return sorted(map(json.loads, file.read_text().splitlines()), key=lambda message: message["at"])


class Oracle:
    """One run's messages, looked at once. ``outside`` are the AIDs of signers that are no agents of the run."""

    def __init__(self, messages: Iterable[Document], outside: Collection[str] = ()) -> None:
        self._messages = list(messages)
        self._outside = set(outside)
        self._agents = {message[name] for message in self._messages for name in ("aid", "aid_before")}
        self._manifests: dict[str, Document] = {}
        #: Nonce of a greeting -> the greeting.
        self._greetings: dict[str, Document] = {}
        self._challenges: dict[str, Document] = {}
        #: Agent -> the newest list of an outside signer that it has asked for.
        self._outside_lists: dict[str, Document] = {}
        #: jti -> claims, of every token that verified.
        self.tcts: dict[str, Document] = {}
        #: jti -> the token that this one was renewed or redeemed from.
        self._parents: dict[str, str] = {}
        #: ID tokens that verified in the greeting that they were made for.
        self._proven: set[str] = set()
        #: How many different ones of each kind have verified, and how many calls were judged as the agents judged.
        self.seen: Counter[str] = Counter()
        self._known: set[str] = set()

    def judge(self) -> None:
        """Verify everything. Raises :class:`Contradiction`."""
        for message in self._messages:
            at = int(message["at"])
            try:
                self._look(message, at)
                if message["side"] == "served":
                    self._decide(message, at)
            except AitpError as error:
                raise _contradiction(message, f"{error.code}: {error}") from error
            except Contradiction as error:
                raise _contradiction(message, str(error)) from None

        if unproven := {text for text in self._known if _typ(text) == "JWT"} - self._proven:
            raise Contradiction(f"{len(unproven)} ID tokens that nobody showed to whom they are for")

    def _look(self, message: Document, at: int) -> None:
        asked, answer = _parsed(message["body"]), _parsed(message["answer"])
        for document in (asked, answer, *map(_of_header, message["headers"].items())):
            for found in _signed_things(document):
                self._verify(found, message, asked, at)

    def _verify(self, found: Any, message: Document, asked: Any, at: int) -> None:
        text = found if isinstance(found, str) else json.dumps(found, sort_keys=True)
        if isinstance(found, str):
            kind = self._token(found, at)
        elif "message_type" in found:
            kind = self._envelope(found, message, asked, at)
        elif "proof_of_possession" in found:
            kind = self._manifest(found, at)
        elif "revocation_list" in found:
            kind = self._list(found, message, at)
        elif "session_bundle" in found:
            kind = self._bundle(found, at)
        else:
            raise Contradiction(f"signed, and of no kind that is known: {sorted(found)}")
        if text not in self._known:
            self._known.add(text)
            self.seen[kind] += 1

    def _manifest(self, manifest: Document, at: int) -> str:
        verify_manifest({"manifest": manifest, "now": at}, at)
        self._is_an_agents(manifest["aid"])
        known = self._manifests.get(manifest["aid"])
        if known is None or known["published_at"] <= manifest["published_at"]:
            self._manifests[manifest["aid"]] = manifest
        return "manifest"

    def _envelope(self, envelope: Document, message: Document, asked: Any, at: int) -> str:
        verify_envelope({"envelope": envelope}, at)
        kind, sender, payload = str(envelope["message_type"]), envelope["sender"]["agent_id"], envelope["payload"]
        self._is_an_agents(sender)
        if kind in _GREETINGS:
            self._greeting(envelope, message, asked, at)
        elif kind in _COMMITS:
            self._commit(envelope, at)
        elif kind == "pop_challenge":
            self._challenges[payload["nonce"]] = payload
        elif kind not in _OTHERS:
            raise Contradiction(f"an envelope of no kind that is known: {kind}")
        return kind

    def _greeting(self, envelope: Document, message: Document, asked: Any, at: int) -> None:
        """Steps of RFC-AITP-0004, sections 5.1 and 5.2, for whoever it was meant for."""
        sender, payload = envelope["sender"]["agent_id"], envelope["payload"]
        self._manifest(payload["manifest"], at)
        trusted = message.get("trusted", {})
        given = {
            "envelope": envelope,
            "trust_store": [sender],
            "self_trust_anchors": list(trusted),
            "resolved_issuer_keys": trusted,
            "self_accepted_identity_types": ["pinned_key", "oidc"],
        }
        if envelope["message_type"] == "mutual_hello_ack":
            given["self_aid"] = asked["sender"]["agent_id"]
            given["sent_pop_nonce"] = asked["payload"]["pop_nonce"]
        elif message["side"] == "served":
            given["self_aid"] = message["aid_before"]
        else:  # the one that it is meant for writes it down as well
            return
        verify_handshake_payload(given, at)
        self._proven.add(payload["identity"]["proof"])
        self._greetings[payload["pop_nonce"]] = envelope

    def _commit(self, envelope: Document, at: int) -> None:
        """Steps of sections 5.3 and 5.4: it echoes a nonce of the one that takes it, and grants what is on offer."""
        payload, sender = envelope["payload"], envelope["sender"]["agent_id"]
        greeting = self._greetings.get(payload["pop_nonce_echo"])
        if greeting is None:
            raise Contradiction("the nonce that is echoed is in no greeting")
        receiver = greeting["sender"]["agent_id"]
        offered = self._manifests[sender]["offered_capabilities"]
        given = {"envelope": envelope, "self_aid": receiver, "self_pop_nonce": payload["pop_nonce_echo"]}
        verify_handshake_payload(given | {"issuer_offered_capabilities": offered}, at)
        claims = parse_compact(payload["tct"]).claims
        _same("issuer of a token", claims["iss"], sender)
        if "grant_voucher" in payload:
            voucher = parse_compact(payload["grant_voucher"]).claims
            for name in ("iss", "sub", "exp", "grants"):
                _same(f"{name} of a voucher", voucher[name], claims[name])
            _same("source of a voucher", voucher["src_jti"], claims["jti"])

    def _token(self, token: str, at: int) -> str:
        typ = _typ(token)
        if typ == "aitp-tct+jwt":
            return self._tct(token, at)
        claims = parse_compact(token).claims
        if typ == "aitp-grant+jwt":
            verify_grant_voucher({"voucher_token": token}, at)
            self._is_an_agents(claims["iss"])
            return "voucher"
        if typ == "aitp-delegation+jwt":
            self._is_an_agents(claims["iss"])
            verify_delegation_token({"delegation_token": token, "self_aid": claims["aud"], **_ELSEWHERE}, at)
            self._token(claims["voucher"], at)
            return "delegation"
        if typ == "JWT":
            return "id_token"  # verified with the greeting that it is in
        raise Contradiction(f"a token of no type that is known: {typ}")

    def _tct(self, token: str, at: int) -> str:
        claims = parse_compact(token).claims
        self._is_an_agents(claims["iss"])
        self._is_an_agents(claims["sub"])
        manifest = self._manifests.get(claims["iss"])
        if manifest is None:
            raise Contradiction("a token of an agent of which no manifest was seen")
        given = {"tct_token": token, "expected_audience": claims["sub"], "issuer_manifest": manifest}
        verify_tct(given | _ELSEWHERE, at)
        self.tcts[claims["jti"]] = claims
        return "tct"

    def _list(self, signed: Document, message: Document, at: int) -> str:
        issuer = signed["revocation_list"]["issuer"]
        expected = self._outside if message["side"] == "asked" else {message["aid"], message["aid_before"]}
        if issuer not in expected | (self._agents if message["side"] == "asked" else set()):
            raise Contradiction("a list of another issuer than the one asked")
        verify_revocation_snapshot({"snapshot": signed, "expected_issuer": issuer}, at)
        if issuer in self._outside:
            self._outside_lists[message["agent"]] = signed
        return "list"

    def _bundle(self, bundle: Document, at: int) -> str:
        body = bundle["session_bundle"]
        manifest = self._manifests[body["coordinator"]]
        for participant in body["participants"]:
            given = {"session_bundle": bundle, "self_aid": participant["aid"], "coordinator_manifest": manifest}
            verify_session_bundle(given, at)
        return "bundle"

    def _decide(self, message: Document, at: int) -> None:
        """What this agent decided about a call or a redemption, against what the oracle says."""
        path, status = message["path"], message["status"]
        if path.startswith("/capabilities/"):
            verdict = self._of_call(message, path.removeprefix("/capabilities/"), at)
            kind = "call"
        elif path == RENEW or path.startswith("/aitp/session-bundles/"):
            verdict, kind = self._of_call(message, None, at), "holder"
        elif path == "/aitp/delegation/redeem":
            verdict, kind = self._of_redemption(message, at), "redemption"
        else:
            return
        if (verdict is None) != (status == 200):
            raise Contradiction(f"answered {status}: {message['answer'][:300]}; the oracle says {verdict or 'yes'}")
        self.seen[f"{kind} {'granted' if verdict is None else 'refused'}"] += 1

    def _of_call(self, message: Document, capability: str | None, at: int) -> str | None:
        """Why the call is to be refused (RFC-AITP-0005, section 10.5); None when it is to be granted."""
        token = message["headers"].get("x-aitp-tct")
        if token is None:
            return "no token"
        given = {
            "tct_token": token,
            "self_aid": message["aid_before"],
            "envelope": _of_header(("x-aitp-pop-response", message["headers"].get("x-aitp-pop-response", ""))),
            "outstanding_pop_challenges": list(self._challenges.values()),
            "issuer_revocation_list": {"snapshot": _parsed(message["list"])},
        }
        try:
            granted = verify_tct_as_issuer(given, at)["grants"]
        except AitpError as error:
            return str(error.code)
        # A challenge is answered once (RFC-AITP-0005, section 6.2).
        del self._challenges[given["envelope"]["payload"]["nonce_echo"]]
        if capability is not None and capability not in granted:
            return "not granted"
        jti = str(parse_compact(token).claims["jti"])
        if message["path"] == RENEW and message["status"] == 200:
            self._check_renewed(_parsed(message["answer"]), token)
        return self._of_line(message, jti, at)

    def _of_redemption(self, message: Document, at: int) -> str | None:
        envelope = _parsed(message["body"])
        delegation = envelope["payload"]["delegation_token"]
        claims = parse_compact(delegation).claims
        snapshot = {"issuer_aid": message["aid_before"], "snapshot": _parsed(message["list"])}
        given = {
            "delegation_token": delegation,
            "self_aid": message["aid_before"],
            "revocation_snapshots": [snapshot],
        }
        try:
            scope = verify_delegation_token(given, at)["grants"]
        except AitpError as error:
            return str(error.code)
        if envelope["sender"]["agent_id"] != claims["sub"]:
            return "not its delegatee"
        source = str(parse_compact(claims["voucher"]).claims["src_jti"])
        if message["status"] == 200:
            self._check_redeemed(_parsed(message["answer"]), claims, scope, source)
        return self._of_line(message, source, at)

    def _check_renewed(self, answer: Document, token: str) -> None:
        """RFC-AITP-0005, section 9: the same grants for the same key, under a name of its own."""
        before, claims = parse_compact(token).claims, _only_tct(answer)
        for name in ("iss", "sub", "aud", "cnf", "grants"):
            _same(f"{name} of what was renewed", claims[name], before[name])
        if claims["jti"] == before["jti"]:
            raise Contradiction("a renewed token has the id of the one before it")
        self._parents[claims["jti"]] = before["jti"]

    def _check_redeemed(self, answer: Document, delegation: Document, scope: list[str], source: str) -> None:
        """RFC-AITP-0006, section 7: for the delegatee's own key, no more and no longer than was delegated."""
        claims = _only_tct(answer)
        self._parents[claims["jti"]] = source
        _same("holder of what was redeemed", claims["sub"], delegation["sub"])
        _same("binding of what was redeemed", claims["cnf"], delegation["cnf"])
        if not set(claims["grants"]) <= set(scope) or claims["exp"] > delegation["exp"]:
            raise Contradiction("what was redeemed goes beyond what was delegated")

    def _of_line(self, message: Document, jti: str, at: int) -> str | None:
        """Whether the token, or one that it came of (RFC-AITP-0008, section 1.1), is on a list that counts here."""
        lists = [_parsed(message["list"])]
        if message["agent"] in self._outside_lists:
            lists.append(self._outside_lists[message["agent"]])
        for signed in lists:
            asked = {"snapshot": signed, "expected_issuer": signed["revocation_list"]["issuer"]}
            ancestor: str | None = jti
            while ancestor is not None:
                try:
                    verify_revocation_snapshot(asked | {"queried_jti": ancestor}, at)
                except AitpError as error:
                    return str(error.code)
                ancestor = self._parents.get(ancestor)
        return None

    def _is_an_agents(self, aid: str) -> None:
        if aid not in self._agents:
            raise Contradiction(f"{aid} is no agent of this run")


def _typ(text: str) -> str | None:
    return parse_compact(text).header.get("typ") if _JWS.fullmatch(text) else None


def _only_tct(answer: Document) -> Document:
    [token] = [text for text in _tokens(answer) if _typ(text) == "aitp-tct+jwt"]
    claims: Document = parse_compact(token).claims
    return claims


def _same(what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise Contradiction(f"{what}: {found!r}, not {expected!r}")


def _contradiction(message: Document, why: str) -> Contradiction:
    where = f"{message['agent']} {message['side']} {message.get('method')} {message['path']} -> {message['status']}"
    return Contradiction(f"{where}: {why}")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _of_header(header: tuple[str, str]) -> Any:
    """What is in a header: a token as it stands, or a document in base64url."""
    name, value = header
    if name not in ("x-aitp-pop", "x-aitp-pop-response"):
        return value
    return _parsed(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode()) if value else None


def _signed_things(document: Any) -> Iterator[Any]:
    """Everything with a signature, outermost first; what is in a manifest, a list or a bundle is verified with it."""
    if isinstance(document, str):
        yield from _JWS.findall(document)
    elif isinstance(document, list):
        for entry in document:
            yield from _signed_things(entry)
    elif isinstance(document, dict):
        whole = "signature" in document or "session_bundle" in document
        if whole:
            yield document
        if not whole or "message_type" in document:
            for value in document.values():
                yield from _signed_things(value)
        elif "session_bundle" in document:
            yield from _tokens(document)


def _tokens(document: Any) -> list[str]:
    return _JWS.findall(json.dumps(document))
