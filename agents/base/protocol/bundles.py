"""Session bundles (RFC-AITP-0010): a coordinator signs the tokens that it gave to several agents as one session.

The bundle holds those tokens, so it stays with the coordinator, who gives it to its participants alone, each under a
proof of possession. Whoever verifies it asks the coordinator's own revocation list: the SDK takes everything but the
word ``True`` for "not revoked", failures included.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import aitp

from base.aids import canonical
from base.features import require_feature
from base.http.step_mark import to_pass_on
from base.protocol.bearing import Bearer
from base.protocol.envelopes import disclosing
from base.protocol.manifests import fetch_manifest
from base.protocol.shared import Shared
from base.protocol.verification import Verifier
from base.refusals import Fault, PeerFailed, Refusal, first_line, malformed, protocol_errors

BUNDLE_PATH: Final = "/aitp/session-bundles/"
MAX_BUNDLES: Final = 16
MAX_PARTICIPANTS: Final = 16


@dataclass(frozen=True, slots=True)
class _Kept:
    text: str = field(repr=False)
    participants: frozenset[str]


class Coordinator:
    """Signs bundles and gives them to their participants."""

    def __init__(self, shared: Shared, verifier: Verifier) -> None:
        self._shared = shared
        self._verifier = verifier
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def export(self, agent_ids: list[str]) -> dict[str, Any]:
        """Sign a bundle of the newest tokens issued to these peers; it is kept here, with the 15 before it.

        ``{"bundle_ref", "sha256", "session_id", "participant_aids"}``. Raises 409 ``no_tct_issued``, and 409
        ``bundle_refused`` when the SDK will not sign it.
        """
        require_feature("session_bundle")
        if not 0 < len(agent_ids) <= MAX_PARTICIPANTS or len(set(agent_ids)) < len(agent_ids):
            raise malformed(f"participants: from 1 to {MAX_PARTICIPANTS}, each once")
        builder, aids = aitp.SessionBundleBuilder(self._shared.identity.agent()), []
        try:
            for agent_id in agent_ids:
                token = next(self._shared.tokens.issued.of_agent(agent_id), None)
                if token is None:
                    raise Fault(409, "no_tct_issued", f"no token was issued to {agent_id[:100]}")
                builder = builder.participant(token.peer_aid, token.tct)
                aids.append(token.peer_aid)
            text = str(builder.build())
        except (RuntimeError, ValueError) as error:
            raise Fault(409, "bundle_refused", first_line(error)) from error
        ref = str(uuid.uuid4())
        self._kept[ref] = _Kept(text, frozenset(canonical(aid) for aid in aids))
        if len(self._kept) > MAX_BUNDLES:
            self._kept.popitem(last=False)
        return {
            "bundle_ref": ref,
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "session_id": _session_of(text),
            "participant_aids": aids,
        }

    def give(self, ref: str, token: str | None, proof: str | None) -> str:
        """The bundle, for whoever proves to hold a token of this agent's and is one of its participants."""
        caller = self._verifier.authorize(token, None, proof)
        with disclosing(self._shared.peers.introduced, caller.aid):
            kept = self._kept.get(ref)
            if kept is None or canonical(caller.aid) not in kept.participants:
                raise Refusal("grant_missing", "no session bundle of this name has the caller as a participant")
            return kept.text

    def forget(self) -> None:
        """The key changed, and with it whose bundles these are."""
        self._kept.clear()


class BundleVerifier:
    """A participant's side."""

    def __init__(self, shared: Shared, bearer: Bearer) -> None:
        self._shared = shared
        self._bearer = bearer

    async def verify(self, coordinator: str, ref: str, sha256: str) -> dict[str, Any]:
        """Fetch a bundle from its coordinator and verify it: ``{"kind", "active_aids", "dropped_aids"}``.

        ``kind`` is ``clear`` or, when a participant's token is revoked, ``degraded``; this agent itself may be among
        those that are dropped. Raises 409 ``no_tct_held``, ``revocation_unknown``, and :class:`PeerFailed` when the
        coordinator refuses, or what it gives is not what was exported or does not verify.
        """
        require_feature("session_bundle")
        shared = self._shared
        peer = shared.peers.named(coordinator)
        held = self._bearer.newest(peer)
        manifest = await fetch_manifest(shared.client, peer, peer.address)
        look = shared.issuer_lists.begin(peer, manifest.revocation_list, anew=True)
        headers = self._bearer.headers(await self._bearer.ask(peer.base_url, held), held, peer)
        url = f"{peer.base_url}{BUNDLE_PATH}{ref}"
        answer = (await shared.client.post(url, "{}", {**headers, **to_pass_on()})).expect_json(peer.aid)
        text = answer.text()
        if hashlib.sha256(text.encode()).hexdigest() != sha256:
            raise PeerFailed(
                "protocol", "this is not the bundle that was exported", url=url, peer_code="bundle_changed"
            )
        await look.settle()
        with protocol_errors(url):
            found = aitp.verify_session_bundle(
                text, shared.identity.aid, manifest.raw, revocation_check=_certain(self._is_revoked(peer.aid))
            )
        return {
            "kind": found["kind"],
            "active_aids": list(found["active_aids"]),
            "dropped_aids": list(found.get("dropped_aids", ())),
        }

    def _is_revoked(self, issuer: str) -> Callable[[str], bool]:
        return lambda jti: bool(self._shared.revocations.deny(jti, issuer))


def _certain(is_revoked: Callable[[str], bool]) -> Callable[[str], bool]:
    """The SDK passes over what a call-back raises: what cannot be found out is revoked."""

    def check(jti: str) -> bool:
        try:
            return bool(is_revoked(jti))
        except BaseException:  # noqa: BLE001 - see above
            return True

    return check


def _session_of(text: str) -> str:
    document = json.loads(text)
    bundle = document.get("session_bundle", document)
    return str(bundle["session_id"])
