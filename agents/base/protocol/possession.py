"""Proof of possession: the challenges this agent gave out, and what comes back (RFC-AITP-0005, section 6.1).

Both messages are envelopes, each signed by its sender. The SDK's bare payloads are read as well: they prove the key,
but say nothing of who asked, so they are given only to a peer that asked with one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aitp

from base.aids import canonical, same_key
from base.protocol.diagnosis import TCT_TYPE, VERSION
from base.protocol.envelopes import FRESHNESS, Envelope, read_envelope, verify_signature
from base.refusals import Fault, Refusal, sdk_code
from base.registry_codes import registered

CHALLENGE = "pop_challenge"
RESPONSE = "pop_response"
CHALLENGE_SECS = 60
#: Challenges open at once: for what this agent itself has issued, and for everything else together.
MAX_CHALLENGES = 4096
MAX_FOR_OTHERS = 256
#: Nonces remembered as used, so that a second use can be told from an invention.
MAX_SPENT = 1024
#: Whose place those share that are for nothing of this agent's.
_OTHERS = ""

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Open:
    challenge: str
    token: bytes
    place: str
    until: float


class ChallengeBook:
    """Challenges given out, each for one token, good once, for a minute.

    Anybody may ask for one, so each has a ``place``: that of the key to which this agent issued what it is about, or a
    small one for everything that a stranger can make up. Beyond the bound the oldest goes of whichever place is
    fullest, so whoever asks for many pushes out nothing but its own.
    """

    def __init__(
        self, limit: int = MAX_CHALLENGES, for_others: int = MAX_FOR_OTHERS, clock: Clock = time.monotonic
    ) -> None:
        self._limit = limit
        self._for_others = for_others
        self._clock = clock
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._places: dict[str, OrderedDict[str, None]] = {}
        self._spent: OrderedDict[str, None] = OrderedDict()

    def add(self, challenge: str, token: str, place: str | None) -> None:
        """Keep a payload given out for ``token``. ``place``: an AID; None for what this agent did not make."""
        self._forget_old()
        mine = _OTHERS if place is None else canonical(place)
        others = len(self._places.get(_OTHERS, ()))
        if place is None and others >= self._for_others:
            self._drop(next(iter(self._places[_OTHERS])))
        elif place is not None and len(self._open) - others >= self._limit:
            fullest = max((name for name in self._places if name != _OTHERS), key=lambda name: len(self._places[name]))
            self._drop(next(iter(self._places[fullest])))
        nonce = json.loads(challenge)["nonce"]
        self._open[nonce] = _Open(challenge, digest(token), mine, self._clock() + CHALLENGE_SECS)
        self._places.setdefault(mine, OrderedDict())[nonce] = None

    def take(self, nonce: str, token: str) -> str:
        """This agent's own copy of the challenge, which is then spent.

        Raises ``pop_invalid``: no such challenge was given out for this token, or it is over.
        """
        given = self._open.get(nonce)
        if given is None:
            raise _over("the challenge was answered before") if nonce in self._spent else _unanswered()
        self._drop(nonce)
        self._spent[nonce] = None
        if len(self._spent) > MAX_SPENT:
            self._spent.popitem(last=False)
        if given.token != digest(token):
            raise _unanswered()
        if self._clock() >= given.until:
            raise _over("the challenge has expired")
        return given.challenge

    def __len__(self) -> int:
        return len(self._open)

    def _drop(self, nonce: str) -> None:
        place = self._open.pop(nonce).place
        del self._places[place][nonce]
        if not self._places[place]:
            del self._places[place]

    def _forget_old(self) -> None:
        """Those that ended a while ago; until then a late answer is told that it is late."""
        long_over = self._clock() - CHALLENGE_SECS
        while self._open and (oldest := next(iter(self._open.items())))[1].until <= long_over:
            self._drop(oldest[0])


def _unanswered() -> Refusal:
    return Refusal("pop_invalid", "this answers no challenge that was given out for this token")


def _over(message: str) -> Refusal:
    return Refusal("pop_invalid", message, registry="POP_CHALLENGE_INVALID")


@dataclass(frozen=True, slots=True)
class Proof:
    """A response: the payload that the SDK verifies, and the envelope around it if there was one."""

    response: str
    nonce: str
    envelope: Envelope | None


def read_proof(text: str) -> Proof:
    """A response in either form, unverified. Raises ``pop_invalid``."""
    document = _parsed(text)
    envelope: Envelope | None = None
    if isinstance(document, dict) and "message_type" in document:
        try:
            envelope = read_envelope(text)
        except Fault as fault:
            raise Refusal("pop_invalid", str(fault)) from fault
        document = envelope.payload
    if not isinstance(document, dict) or not isinstance(document.get("nonce_echo"), str):
        raise Refusal("pop_invalid", "this is not a proof of possession")
    return Proof(json.dumps(document), document["nonce_echo"], envelope)


def verify_proof(challenge: str, proof: Proof, token: str) -> str:
    """The AID whose key answered the challenge; it is the token's subject. Raises ``pop_invalid``, ``stale``."""
    try:
        holder = aitp.verify_pop_response(challenge, proof.response, token)
    except (ValueError, RuntimeError) as error:
        code = sdk_code(error)
        message = "the proof of possession does not verify"
        raise Refusal("pop_invalid", message, sdk_code=code, registry=registered(code)) from error
    if proof.envelope is not None:
        require_sent(proof.envelope, RESPONSE, holder)
    return holder


def require_sent(envelope: Envelope, kind: str, sender: str) -> None:
    """Whether an envelope is of this type, from that key, and fresh. Raises ``pop_invalid``, ``stale``."""
    if envelope.kind != kind or not same_key(envelope.sender, sender):
        raise Refusal("pop_invalid", f"this is no {kind} of that key")
    try:
        verify_signature(envelope)
    except Fault as fault:
        raise Refusal("pop_invalid", str(fault), sdk_code=fault.details.get("sdk_code")) from fault
    if abs(time.time() - envelope.message["timestamp"]) > FRESHNESS:
        raise Refusal("stale", f"the message is more than {FRESHNESS} seconds away from now")


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a peer challenges with; ``bare`` when it stood there by itself."""

    payload: dict[str, Any]
    bare: bool


def read_challenge(text: str, peer: str) -> Challenge:
    """A challenge in either form; an envelope is of ``peer``'s key. Raises ``pop_invalid``, ``stale``.

    A bare one is anybody's: it was not signed.
    """
    document = _parsed(text)
    if not isinstance(document, dict):
        raise _over("this is no challenge")
    if "message_type" not in document:
        return Challenge(document, bare=True)
    try:
        envelope = read_envelope(text)
    except Fault as fault:
        raise _over(str(fault)) from fault
    require_sent(envelope, CHALLENGE, peer)
    return Challenge(envelope.payload, bare=False)


def stand_in(subject: str, issuer: str, jti: str) -> str:
    """A token for the SDK to verify a response against where there is none yet; it reads nothing but these three."""
    now = int(time.time())
    claims = {
        "ver": VERSION,
        "iss": issuer,
        "sub": subject,
        "aud": subject,
        "iat": now,
        "exp": now + CHALLENGE_SECS,
        "jti": jti,
        "grants": ["none"],
        "cnf": {"jkt": aitp.compute_aid_jkt(subject)},
    }
    segments = (json.dumps({"alg": "EdDSA", "typ": TCT_TYPE}), json.dumps(claims), str(uuid.UUID(int=0)))
    return ".".join(base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in segments)


def digest(token: str) -> bytes:
    """What stands for a token in maps, so that they hold no second copy of it."""
    return hashlib.sha256(token.encode()).digest()


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
