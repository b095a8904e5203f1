"""Renewing a token in-band: RFC-AITP-0013 and RFC-AITP-0004, section 8.1; the issuer's side and the holder's.

The SDK's request proves the key over a nonce of the holder's own making. Here the holder answers a challenge of the
issuer's besides, as for a call, so that a request is good once and in this process alone. What the SDK leaves open is
closed here: what is revoked, made from what is revoked, or not honoured is not renewed; what was redeemed is renewed
for no longer than its delegation, and with a voucher no more often than it may be passed on.
"""

from __future__ import annotations

import json
import math
import time
from typing import Any, Final

from base.features import require_feature
from base.http.step_mark import to_pass_on
from base.protocol.bearing import Bearer
from base.protocol.budgets import STRANGERS, Clock, PeerBudgets
from base.protocol.envelopes import disclosing
from base.protocol.received import report_received, token_with, verified_token
from base.protocol.revocation_lists import LONGEST_LIFE
from base.protocol.shared import Shared
from base.protocol.tokens import Token, claims_or_nothing, decode_claims
from base.protocol.verification import Caller, Verifier
from base.refusals import Fault, Flooded, Refusal, first_line, malformed, protocol_errors, sdk_code

RENEW_PATH: Final = "/aitp/tct/renew"
#: Seconds that a renewed token lives unless the holder asks for another time.
DEFAULT_TTL: Final = 3600
#: Renewals in an hour: of one introduced holder, of all guests together. Each is remembered while its token lives.
RENEWALS, HOUR = 60, 3600.0


class Renewals:
    """The issuer's side. ``redelegation``: how often what was redeemed here may be passed on."""

    def __init__(
        self, shared: Shared, verifier: Verifier, redelegation: int = 0, clock: Clock = time.monotonic
    ) -> None:
        self._shared = shared
        self._verifier = verifier
        self._redelegation = redelegation
        self._budgets = PeerBudgets(RENEWALS, HOUR, clock)

    async def renew(self, request: dict[str, Any], proof: str | None) -> dict[str, Any]:
        """``{"tct", "grant_voucher"?}`` for the holder of ``current_tct``. A refusal is reported, then raised.

        ``request`` is the SDK's, with ``ttl_secs`` beside it if the holder wants another life than an hour.
        """
        token, ttl = request.get("current_tct"), request.get("ttl_secs", DEFAULT_TTL)
        if not isinstance(token, str) or type(ttl) is not int or not 0 < ttl <= LONGEST_LIFE:
            raise malformed(f"not a renewal: current_tct is a text, and ttl_secs a number from 1 to {LONGEST_LIFE}")
        try:
            caller = self._verifier.authorize(token, None, proof)
            with disclosing(self._shared.peers.introduced, caller.aid):
                require_feature("tct_renewal")
                renewed = self._mint(request, token, ttl, caller)
        except (Refusal, Flooded) as refusal:
            self._report_refused(refusal, token)
            raise
        await self._shared.record.save()
        self._report_issued(renewed, caller)
        return {"tct": renewed.tct} | ({"grant_voucher": renewed.voucher} if renewed.voucher else {})

    def _mint(self, request: dict[str, Any], token: str, ttl: int, caller: Caller) -> Token:
        lineage, identity = self._shared.revocations.lineage, self._shared.identity
        owner = caller.aid if self._shared.peers.introduced(caller.aid) else STRANGERS
        lineage.make_room()
        self._budgets.check(owner)
        self._budgets.charge(owner)
        hops, now = lineage.hops(caller.jti), time.time()
        if hops:
            ttl = min(ttl, decode_claims(token)["exp"] - math.ceil(now))
        if ttl < 1:
            raise Refusal("tct_expired", "the token has expired")
        if identity.published()[1] < now + ttl:
            identity.mint()  # a token lives no longer than its issuer's manifest
        agent, (_, manifest_ends) = identity.agent(), identity.published()
        asked = json.dumps({name: value for name, value in request.items() if name != "ttl_secs"})
        try:
            # No deny set would mean to the SDK that nothing is revoked.
            deny = self._shared.revocations.deny(caller.jti)
            given = json.loads(agent.process_renewal_request(asked, manifest_ends, ttl, revoked_jtis=deny))
        except RuntimeError as error:
            raise _refusal(error) from error
        except (ValueError, KeyError, TypeError) as error:
            raise malformed("not a renewal request") from error
        voucher = given["grant_voucher"] if hops <= self._redelegation else None
        renewed = token_with(given["tct"], voucher, self._shared.peers.holder(caller.aid))
        lineage.record(renewed.jti, caller.jti, renewed.claims["exp"], "renewed")
        self._shared.keep(renewed, "issued", owner if owner == STRANGERS else None)
        return renewed

    def _report_issued(self, renewed: Token, caller: Caller) -> None:
        self._shared.telemetry.emit(
            "tct.renewal.issued",
            jti=renewed.jti,
            aid=renewed.peer_aid,
            target=self._shared.peers.agent_id_of(caller.aid),
            grants=list(renewed.claims["grants"]),
            payload={"parent_jti": caller.jti, "tct": {"claims": renewed.claims}},
        )

    def _report_refused(self, refusal: Fault, token: str) -> None:
        """Whose it is and which, is the token's word: a refused renewal has proven nothing."""
        claims = claims_or_nothing(token)
        told = refusal.told() if isinstance(refusal, Refusal) else {"code": refusal.code}
        aid, jti = claims.get("sub"), claims.get("jti")
        self._shared.telemetry.emit_refusal(
            "tct.renewal.refused",
            aid=aid[:100] if isinstance(aid, str) else None,
            jti=jti[:100] if isinstance(jti, str) else None,
            target=self._shared.peers.agent_id_of(str(aid)),
            error=str(refusal),
            payload=told,
        )


def _refusal(error: RuntimeError) -> Refusal:
    """The SDK has codes for none of its reasons."""
    said = first_line(error)
    code = "replay" if "replay" in said.lower() else "tct_invalid"
    return Refusal(code, said, sdk_code=sdk_code(error))  # type: ignore[arg-type]


class Renewer:
    """The holder's side."""

    def __init__(self, shared: Shared, bearer: Bearer) -> None:
        self._shared = shared
        self._bearer = bearer

    async def renew(self, agent_id: str, ttl_secs: int | None) -> dict[str, Any]:
        """Have a peer renew the newest token that it gave; the new one is then held beside it.

        ``{"jti", "expires_at", "issuer", "subject", "grants", "previous_jti", "extended_by_secs"}``. Raises 409
        ``no_tct_held``, :class:`PeerFailed` with the peer's own code when it refused, and ``revocation_unknown``.
        """
        require_feature("tct_renewal")
        shared = self._shared
        peer = shared.peers.named(agent_id)
        base, held = peer.base_url, self._bearer.newest(peer)
        look = shared.issuer_lists.begin_at_its_manifest(peer)
        shared.telemetry.emit("tct.renewal.requested", target=peer.agent_id, aid=peer.aid, jti=held.jti)
        challenge = await self._bearer.ask(base, held)
        headers = self._bearer.headers(challenge, held, peer)
        with protocol_errors(challenge.url):
            request = json.loads(shared.identity.agent().build_renewal_request(held.tct))
        body = json.dumps(request | ({} if ttl_secs is None else {"ttl_secs": ttl_secs}))
        shared.peers.require_still(peer)
        answer = await shared.client.post(base + RENEW_PATH, body, {**headers, **to_pass_on()})
        renewed = await verified_token(shared, answer.expect_json(peer.aid), peer, look)
        shared.peers.require_still(peer)
        shared.keep(renewed, "held")
        report_received(shared, renewed, "renewed", held.jti)
        claims = renewed.claims
        told = {"jti": renewed.jti, "expires_at": claims["exp"], "issuer": claims["iss"], "subject": claims["sub"]}
        gained = claims["exp"] - held.claims["exp"]
        return told | {"grants": list(claims["grants"]), "previous_jti": held.jti, "extended_by_secs": gained}
