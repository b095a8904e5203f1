"""Logs of one run as a playground might have written them: other ids, keys, ports and times for every seed, and the
emitters scheduled as another seed says. What happens in them is always the same."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from aitp_playground.recording.form import Given, NormalForm
from aitp_playground.recording.normal import normal_form

Event = dict[str, Any]
AGENTS = ("analyst", "researcher", "writer")
REF = "made/log@1.0.0"
INPUTS = {"topic": "trust"}


@dataclass
class MadeLog:
    """The events of a run, without numbers and times until :meth:`bodies`; ``secrets``: every value that differs."""

    given: Given
    events: list[Event]
    began: float
    secrets: list[str] = field(default_factory=list)

    def bodies(self) -> list[bytes]:
        """As they are stored."""
        lines = []
        for number, event in enumerate(self.events, 1):
            head = {"seq": number, "id": f"00000000-0000-4000-8000-{number:012d}", "run_id": self.given.run_id}
            moment = {"ts": event.get("ts", self.began + number / 10)}
            lines.append(json.dumps({**head, **event, **moment}).encode())
        return lines

    def form(self, *, volatile: bool = False) -> NormalForm:
        return normal_form(self.given, self.bodies(), volatile=volatile)

    def changed(self, edit: Callable[[list[Event]], None]) -> MadeLog:
        """A copy with other events."""
        events = copy.deepcopy(self.events)
        edit(events)
        return MadeLog(self.given, events, self.began, self.secrets)

    def find(self, event_type: str, **fields: Any) -> int:
        """The place of the first event of this type whose fields (also in the payload) are as given."""
        return find(self.events, event_type, **fields)


def find(events: Sequence[Event], event_type: str, **fields: Any) -> int:
    for place, event in enumerate(events):
        seen = {**event.get("payload", {}), **event}
        if event["type"] == event_type and all(seen.get(name) == value for name, value in fields.items()):
            return place
    raise AssertionError(f"no {event_type} with {fields}")


class _World:
    """What differs from run to run."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.began = 1_700_000_000 + self.chance.random() * 90_000_000
        self.run_id = self.uuid()
        self.aids = {name: f"aid:pubkey:{self.text(32)}" for name in AGENTS}
        self.ports = dict(zip(AGENTS, self.chance.sample(range(20_000, 60_000), len(AGENTS)), strict=True))

    def uuid(self) -> str:
        bits = f"{self.chance.getrandbits(128):032x}"
        return f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-8{bits[17:20]}-{bits[20:]}"

    def text(self, size: int) -> str:
        return base64.urlsafe_b64encode(self.chance.randbytes(size)).rstrip(b"=").decode()

    def claims(self, issuer: str, subject: str, grants: list[str], jti: str, lives: int = 3600) -> Event:
        now = int(self.began) + self.chance.randrange(5)
        key = base64.urlsafe_b64encode(hashlib.sha256(self.aids[subject].encode()).digest()).rstrip(b"=").decode()
        sides = {"iss": self.aids[issuer], "aud": self.aids[subject], "sub": self.aids[subject]}
        return {**sides, "cnf": {"jkt": key}, "iat": now, "exp": now + lives, "grants": grants, "jti": jti}


def made_log(seed: int = 0, schedule: int = 0) -> MadeLog:
    """Three agents shake hands in pairs, one calls another with and without a token, delegates, and rotates its key."""
    world, order = _World(seed), random.Random(schedule)
    held: dict[tuple[str, str], str] = {}
    pairs = [_pair(world, first, second, held) for first, second in combinations(AGENTS, 2)]
    events = [
        {"type": "run.started", "scenario_ref": REF},
        *_interleaved(order, [[_spawning(world, name)] for name in AGENTS]),
        *_interleaved(order, [[_ready(world, name)] for name in AGENTS]),
        {"type": "trust.peers_resolved", "peers": {name: _peer(world, name) for name in AGENTS}},
        *_interleaved(order, [strand for pair in pairs for strand in pair]),
    ]
    for step in (_call, _refusal, _delegation, _rotation):
        start, strands, end = step(world, held)
        events += [start, *_interleaved(order, strands), end]
    events.append({"type": "run.complete"})
    given = Given(run_id=world.run_id, ref=REF, inputs=INPUTS, faults={})
    secrets = [world.run_id, *world.aids.values(), *held.values(), *map(str, world.ports.values())]
    return MadeLog(given, events, world.began, secrets)


def _interleaved(order: random.Random, strands: Sequence[Sequence[Event]]) -> list[Event]:
    """The strands merged by chance, each in its own order."""
    left = [list(strand) for strand in strands if strand]
    merged = []
    while left:
        strand = order.choice(left)
        merged.append(strand.pop(0))
        left = [one for one in left if one]
    return merged


def _spawning(world: _World, name: str) -> Event:
    return {"type": "agent.spawning", "agent_id": name, "port": world.ports[name], "payload": {"version": "1.0.0"}}


def _ready(world: _World, name: str) -> Event:
    return {"type": "agent.ready", "agent_id": name, "aid": world.aids[name], "port": world.ports[name]}


def _peer(world: _World, name: str) -> Event:
    url = f"http://localhost:{world.ports[name]}/.well-known/aitp-manifest"
    return {"aid": world.aids[name], "manifest_url": url, "source": "static"}


def _pair(world: _World, first: str, second: str, held: dict[tuple[str, str], str]) -> list[list[Event]]:
    """What the playground, the initiator and the responder say of one handshake, each in its order."""
    session, given, got = world.uuid(), world.uuid(), world.uuid()
    held[first, second], held[second, first] = given, got
    about = {"initiator": first, "target": second, "session_id": session}
    tokens = [world.claims(second, first, ["write"], given), world.claims(first, second, ["read"], got)]
    service = [
        {"type": "trust.establishing", "initiator": first, "target": second},
        {"type": "trust.established", "initiator": first, "target": second, "grants": ["write"], "jti": given},
        {"type": "trust.established", "initiator": second, "target": first, "grants": ["read"], "jti": got},
    ]
    initiator = [
        {"type": "handshake.started", "agent_id": first, **about, "payload": {"direction": "both"}},
        {"type": "handshake.complete", "agent_id": first, **about, "payload": {"tcts": tokens}},
    ]
    answered = {**about, "jti": given, "grants": ["write"], "payload": {"tcts": copy.deepcopy(tokens)}}
    return [service, initiator, [{"type": "handshake.answered", "agent_id": second, **answered}]]


def _step(step_id: str, kind: str, **fields: Any) -> Event:
    return {"type": "step.started", "step_id": step_id, "payload": {"step_type": kind}, **fields}


def _ended(step_id: str, kind: str, result: Any, **fields: Any) -> Event:
    payload = {"step_type": kind, "checked": 1}
    return {"type": "step.complete", "step_id": step_id, "result": result, "payload": payload, **fields}


def _call(world: _World, held: Mapping[tuple[str, str], str]) -> tuple[Event, list[list[Event]], Event]:
    jti, caller = held["researcher", "writer"], world.aids["researcher"]
    invoked = {"agent_id": "writer", "capability": "write", "jti": jti, "aid": caller, "step_id": "call"}
    texts = [{"type": "llm.complete", "agent_id": "writer", "step_id": "call", "payload": {"ms": 12}}]
    answer = {"type": "capability.invoked", **invoked, "payload": {"caller": "researcher", "status_code": 200}}
    result = {"title": "On trust", "words": 3, "by": f"written for {caller} under {jti}", "sources": ["a", "b"]}
    return _step("call", "workflow"), [[answer], texts], _ended("call", "workflow", result)


def _refusal(world: _World, _held: Mapping[tuple[str, str], str]) -> tuple[Event, list[list[Event]], Event]:
    url = f"http://localhost:{world.ports['writer']}/capability"
    denied = {"agent_id": "writer", "step_id": "refuse", "error": "the call carries no TCT"}
    service = [
        {"type": "step.probing_no_trust", "step_id": "refuse", "target": "writer"},
        {"type": "step.access_denied", "step_id": "refuse", "error": f"{url} refused", "payload": {"status_code": 403}},
    ]
    strands = [service, [{"type": "capability.denied", **denied, "payload": {"code": "tct_missing"}}]]
    result = {"status_code": 403, "body": {"error": {"code": "POLICY_VIOLATION"}}, "seconds": 0.25}
    return _step("refuse", "capability_probe"), strands, _ended("refuse", "capability_probe", result)


def _delegation(world: _World, held: dict[tuple[str, str], str]) -> tuple[Event, list[list[Event]], Event]:
    jti, redeemed, parent = world.uuid(), world.uuid(), held["researcher", "writer"]
    held["delegation", ""], held["analyst", "redeemed"] = jti, redeemed
    late = world.chance.randrange(50)
    claims = world.claims("writer", "analyst", ["write"], redeemed, 600 - late)
    issued = {"agent_id": "researcher", "step_id": "delegate", "target": "analyst", "jti": jti, "grants": ["write"]}
    taken = {"agent_id": "writer", "step_id": "delegate", "initiator": "researcher", "target": "analyst"}
    about = {"parent_jti": parent, "delegation_jti": jti, "tct": {"claims": claims}}
    strands = [
        [{"type": "delegation.issuing", "step_id": "delegate", "initiator": "researcher", "target": "analyst"}],
        [{"type": "delegation.issued", **issued, "payload": {"parent_jti": parent, "scope": ["write"]}}],
        [{"type": "delegation.redeemed", **taken, "jti": redeemed, "payload": about}],
    ]
    token = f"eyJhbGciOiJFZERTQSJ9.{world.text(60)}.{world.text(64)}"
    result = {"delegation_token": token, "delegatee_aid": world.aids["analyst"], "webhook": world.uuid()}
    return _step("delegate", "delegate"), strands, _ended("delegate", "delegate", result)


def _rotation(world: _World, _held: Mapping[tuple[str, str], str]) -> tuple[Event, list[list[Event]], Event]:
    old, new = world.aids["writer"], f"aid:pubkey:{world.text(32)}"
    rotated = {"type": "identity.key.rotated", "step_id": "rotate", "agent": "writer", "aid": new}
    strands = [[{**rotated, "payload": {"old_aid": old, "new_aid": new}}]]
    return _step("rotate", "rotate_keys"), strands, _ended("rotate", "rotate_keys", {"old_aid": old, "new_aid": new})
