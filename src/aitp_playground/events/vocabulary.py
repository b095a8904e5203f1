"""The event vocabulary: one row per type says everything the service knows about that type.

A new type is a new row in ``_ROWS``; validation, narration, log lines, metrics and the telemetry filter follow from it.
The type itself is the metric label, and every type is counted.

Columns:

- ``origin``: who speaks. ``agent`` rows, and no others, are taken from an agent's telemetry;
- ``must``, ``may``: the promoted fields of this type, beside those of :data:`ANYWHERE`, which any event may carry, and,
  for agents, those of :data:`FROM_AGENTS`. What has no promoted name stands in ``payload``;
- ``payload``: the names that may stand in ``payload``, ``*`` when that is whatever came from outside;
- ``narrate``: one plain English line (the template language is in :mod:`aitp_playground.events.narration`);
- ``level``: of the event's log line;
- ``status``: the status this event gives the run when it is the one that ends it;
- ``after_terminal``: whether it may follow the event that ended the run;
- ``volatile``: whether it may come in one run and not in another that is no different. ``alone``: only where it belongs
  to no step and to no exchange with a peer, as an agent's own polls do;
- ``makes``: the fields whose values come into being with it: whatever else names them is a consequence;
- ``opens``: whether what agents do follows it, as it does a step's start; all else that the service says of a step is
  about what they did.

What the values of fields are, as far as it counts when runs are compared, is told by name: :data:`ISSUED_AT` and the
following. It holds for what this project says itself; in what a worker or somebody outside says, only values count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from aitp_playground.events.codes import REGISTRY_CODES, REGISTRY_OF
from aitp_playground.events.model import PROMOTED, EventDraft
from aitp_playground.events.narration import Narration, because, peers_resolved, template, webhook_delivered

Origin = Literal["service", "agent", "control_plane"]
Level = Literal["debug", "info", "warning", "error"]
EndStatus = Literal["success", "failed", "cancelled"]
StepOutcome = Literal["complete", "failed", "skipped"]
Volatile = Literal["no", "alone", "yes"]

#: An event of a step carries its ``step_id``, and ``agent`` and ``capability`` where the step has them.
ANYWHERE = frozenset({"agent_id", "agent", "step_id", "capability", "notes", "payload"})
FROM_AGENTS = frozenset(
    {"aid", "initiator", "target", "aid_a", "aid_b", "session_id", "grants", "jti", "error", "cause", "source_url"}
)
#: The words by which an agent refuses, in its events; and what its answers carry: codes of the standard's registry, and
#: its own where a request was no message of the standard. A capability may have codes of its own.
REFUSAL_CODES = frozenset(REGISTRY_OF)
ANSWER_CODES = REGISTRY_CODES | {
    *("invalid_request", "forbidden", "not_found", "method_not_allowed", "request_timeout"),
    *("payload_too_large", "worker_failed", "internal_error"),
}
#: What the log says of a rejected delegation: a refusal, or why its delegator could not be asked.
REJECTION_CODES = REFUSAL_CODES | {"peer_failed", "overloaded", "rate_limited"}
#: The names, promoted or in a payload of our own, under which agents of the run stand by their ids.
NAMING_AGENTS = frozenset(
    {"agent_id", "agent", "initiator", "target"}
    | {"caller", "delegatee", "delegator", "peer", "responder", "target_agent", "via_peer"}
)
#: Points in time: of a beginning, of an end, any others.
ISSUED_AT = frozenset({"iat", "nbf", "issuedAt"})
ENDS_AT = frozenset({"exp", "expires_at", "expiresAt"})
MOMENTS = frozenset({"registered_at", "createdAt", "updatedAt", "revokedAt", "jwksCachedAt", "ts"})
#: How long something took, or how far clocks are apart.
DURATIONS = frozenset({"ms", "seconds"})
#: By how much longer something lives than what was before it, whose life has run on meanwhile. Seconds.
GAINS = frozenset({"extended_by_secs"})
#: Made out of keys, or of what holds ids and times.
DIGESTS = frozenset({"sha256", "jkt", "addedBy"})
#: Places in the log of one run.
POSITIONS = frozenset({"seq"})
#: How much a Control Plane holds, also of other runs'; and in an event about its list, which of it was news.
SHARED = frozenset({"audience_revoked_count", "pinned_key_count", "trust_anchor_count"})
LISTED = frozenset({"count", "denied", "entries", "entry_count", "lost"})


@dataclass(frozen=True, slots=True)
class EventSpec:
    """A row of the table; the columns are explained in the module docstring."""

    type: str
    origin: Origin
    narrate: Narration
    must: frozenset[str] = frozenset()
    may: frozenset[str] = frozenset()
    payload: frozenset[str] = frozenset()
    level: Level = "info"
    status: EndStatus | None = None
    after_terminal: bool = False
    volatile: Volatile = "no"
    makes: frozenset[str] = frozenset()
    opens: bool = False

    @property
    def allowed(self) -> frozenset[str]:
        """Every promoted field an event of this type may carry."""
        common = ANYWHERE | FROM_AGENTS if self.origin == "agent" else ANYWHERE
        return common | self.must | self.may


def _row(
    event_type: str,
    narration: str | Narration,
    *,
    origin: Origin = "service",
    must: str = "",
    may: str = "",
    payload: str = "",
    level: Level = "info",
    status: EndStatus | None = None,
    after_terminal: bool = False,
    volatile: Volatile = "no",
    makes: str = "",
    opens: bool = False,
) -> EventSpec:
    return EventSpec(
        event_type,
        origin,
        template(narration) if isinstance(narration, str) else narration,
        frozenset(must.split()),
        frozenset(may.split()),
        frozenset(payload.split()),
        level,
        status,
        after_terminal,
        volatile,
        frozenset(makes.split()),
        opens,
    )


def _agent(
    event_type: str,
    narration: str | Narration,
    must: str = "",
    level: Level = "info",
    payload: str = "",
    volatile: Volatile = "no",
    makes: str = "",
) -> EventSpec:
    return _row(
        event_type,
        narration,
        origin="agent",
        must=f"agent_id {must}",
        # Any of them may say how many like it were left out.
        payload=f"dropped {payload}",
        level=level,
        volatile=volatile,
        makes=makes,
    )


def _cp(event_type: str, narration: str | Narration, **columns: Any) -> EventSpec:
    return _row(event_type, narration, origin="control_plane", **columns)


_CALLER = "{initiator|caller|agent|peer|aid|subject|'a caller'}"
_PEER = "{counterpart|peer|responder|peer_aid|'another agent'}"
_SPEAKER = "{agent_id|initiator|aid_a|'an agent'}"

_ROWS = (
    # -- the run and its agents ---------------------------------------------------------------------------------------
    _row(
        "run.started",
        "run started[: {scenario_ref}][, template {template}]",
        may="scenario_ref template",
        opens=True,
    ),
    _row(
        "oidc.issuer_minted",
        "the run's own OIDC issuer is ready[: {issuer}]",
        may="source_url",
        payload="issuer",
        opens=True,
    ),
    _row(
        "agent.spawning",
        "{agent_id}[ ({name} {version})]: starting a process of its own, port {port}"
        "[; {python_missing}, which its manifest asks for, is not there: on the playground's interpreter]",
        must="agent_id port",
        payload="cloud framework name org python_missing version",
        makes="port",
        opens=True,
    ),
    _row(
        "agent.ready",
        "{agent_id}: ready as {aid}, port {port}",
        must="agent_id aid port",
        makes="aid",
        opens=True,
    ),
    _row(
        "trust.peers_resolved",
        peers_resolved,
        must="peers",
        opens=True,
    ),
    _row("run.complete", "run complete", may="result", status="success"),
    _row("run.failed", "run failed: {error}", must="error", may="cause", level="error", status="failed"),
    _row(
        "run.cancelled",
        "run cancelled[: {cause|reason}]",
        may="cause error",
        level="warning",
        status="cancelled",
        payload="reason",
    ),
    # -- trust --------------------------------------------------------------------------------------------------------
    _row(
        "trust.establishing",
        "{initiator} opens a handshake with {target}[, sent to {source_url}]",
        must="initiator target",
        may="source_url",
        opens=True,
    ),
    _row(
        "trust.established",
        "{initiator} now holds a TCT from {target}, granting {grants} (jti {jti})[; not granted: {missing}]",
        must="initiator target grants jti",
        may="aid_a aid_b session_id",
        payload="missing",
    ),
    _row(
        "trust.failed",
        because("{initiator} and {target} could not establish trust"),
        must="initiator target error",
        may="cause aid_a aid_b session_id source_url",
        level="warning",
    ),
    _row(
        "manifest.verify_failed",
        because("the manifest at {source_url} was not accepted"),
        must="cause source_url",
        may="error aid initiator target",
        level="warning",
    ),
    _row(
        "delegation.issuing",
        "{delegator|initiator|agent|'an agent'} delegates {scope|grants|'what it may do'} to "
        "{delegatee|target|'another agent'}[, out of what {via_peer} granted it]",
        may="initiator target grants",
        payload="delegatee delegator scope via_peer",
        opens=True,
    ),
    _row(
        "delegation.redeeming",
        "{delegatee|initiator|agent|'an agent'} takes its delegation to {target|'the issuer'} to redeem it",
        may="initiator target jti",
        payload="delegatee",
        opens=True,
    ),
    _row(
        "revocation.published",
        "the TCT {jti} is revoked[ at {issuer|initiator}][, via {via}]",
        must="jti",
        may="initiator target cause",
        payload="issuer via",
    ),
    _row(
        "tct.renewed",
        "{agent_id|agent|initiator|'an agent'} holds a renewed TCT[ from {via_peer|target|issuer}][ (jti {jti})]",
        may="jti initiator target grants",
        payload="via_peer issuer previous_jti",
    ),
    _row(
        "tct.cache.stats",
        "{agent_id|agent|'an agent'} reports its verification cache[: {hits} hits][, {misses} misses]",
        may="result",
        payload="hits misses",
    ),
    _row(
        "identity.key.rotated",
        "{agent_id|agent|'an agent'} has a new key[: {aid|new_aid}][, before {old_aid}]",
        may="aid aid_a aid_b",
        payload="new_aid old_aid",
        makes="aid",
    ),
    _row(
        "session.bundle.exported",
        "{agent_id|coordinator|agent|'an agent'} signed a session bundle[ {session_id}][ for {participants}]",
        may="session_id result",
        payload="coordinator participants",
        makes="session_id",
    ),
    _row(
        "session.bundle.verified",
        "{agent_id|verifier|agent|'an agent'} verified the session bundle[: {kind}]",
        may="session_id result",
        payload="verifier kind",
    ),
    _row(
        "spki.pin.checked",
        "the certificate's key was compared with its pins[; pinned: {is_pinned}]",
        may="result",
        payload="is_pinned",
    ),
    # -- steps --------------------------------------------------------------------------------------------------------
    _row(
        "step.started",
        "step {step_id}[ ({step_type})] started[: {description|notes}]",
        must="step_id",
        may="initiator target",
        payload="description step_type",
        opens=True,
    ),
    _row(
        "step.complete",
        "step {step_id} complete[, unproven: {unproven}]",
        must="step_id result",
        may="initiator target",
        payload="checked step_type unproven",
    ),
    _row(
        "step.failed",
        "step {step_id} failed: {error}",
        must="step_id error",
        may="cause initiator target result",
        level="error",
        payload="details step_type",
    ),
    _row(
        "step.skipped",
        "step {step_id} skipped: {notes}",
        must="step_id notes",
        may="cause initiator target result",
        payload="step_type unproven",
    ),
    _row(
        "step.probing_no_trust",
        "{agent|initiator|'an agent'} calls {capability|'a capability'} of {target_agent|target|'its peer'} "
        "without a TCT",
        must="step_id",
        may="initiator target",
        payload="target_agent",
        opens=True,
    ),
    _row(
        "step.probing_with_held_tct",
        "{agent|initiator|'an agent'} calls {capability|'a capability'} of {target_agent|target|'its peer'} "
        "with the newest TCT it got from it[ (jti {jti|presented_jti})]",
        must="step_id",
        may="initiator target jti",
        payload="presented_jti target_agent",
        opens=True,
    ),
    _row(
        "step.access_denied",
        because(
            "{agent|initiator|'the caller'} gets {status_code|'a refusal'} from {target|target_agent|'the peer'}"
            "[ for {capability}]"
        ),
        must="step_id",
        may="initiator target error cause jti result",
        level="warning",
        payload="status_code target_agent",
    ),
    _row(
        "step.unexpected_status",
        "{error|'the status of the answer was not the expected one'}",
        must="step_id",
        may="initiator target error cause result",
        level="warning",
        payload="status_code",
    ),
    _row(
        "step.fault_injected",
        "fault {kind|cause|'on purpose'}: the call goes to an address that fails[, {mutated_url|source_url}]",
        must="",
        may="initiator target source_url cause",
        level="warning",
        payload="kind mutated_url",
        opens=True,
    ),
    _row(
        "step.fault_complete",
        because("the fault had its effect"),
        must="",
        may="initiator target source_url cause error result",
        payload="kind",
    ),
    # -- the Control Plane --------------------------------------------------------------------------------------------
    _cp(
        "cp.enroll_started",
        "{agent_id|agent|'an agent'} enrolls with the Control Plane",
        may="aid",
        opens=True,
    ),
    _cp("cp.enroll_complete", "{agent_id|agent|'an agent'} is enrolled with the Control Plane", may="aid result"),
    _cp(
        "cp.webhook.subscribed",
        "the Control Plane will report[ {events}] to {url|source_url|'this run'}",
        may="source_url",
        payload="events url",
    ),
    _cp(
        "cp.webhook.subscribe_failed",
        because("the Control Plane took no webhook subscription"),
        may="cause error source_url",
        level="warning",
    ),
    _cp(
        "cp.webhook.delivered",
        webhook_delivered,
        must="delivery_id",
        may="event_type foreign",
        after_terminal=True,
        payload="*",
        volatile="yes",
    ),
    _cp(
        "cp.webhook.unsubscribed",
        "the webhook subscription at the Control Plane is removed",
        may="cause error source_url",
        after_terminal=True,
        volatile="yes",
    ),
    _cp(
        "cp.trust_anchor.provisioned",
        "{agent_id|agent|'an agent'} is pinned at the Control Plane[ in namespace {namespace}]",
        may="aid result source_url",
        payload="namespace",
    ),
    _cp(
        "cp.delegation.tree",
        "the Control Plane knows {count|'some'} delegations[ of {delegator|agent|aid}]",
        may="aid result",
        payload="count delegator",
    ),
    _cp(
        "cp.degraded",
        because("the Control Plane did not do its part[ in {operation}]; the run goes on without"),
        may="cause error source_url aid",
        level="warning",
        after_terminal=True,
        payload="operation reason",
        volatile="yes",
    ),
    # -- what agents report -------------------------------------------------------------------------------------------
    _agent(
        "handshake.started",
        f"{_SPEAKER} and {_PEER} exchanged hellos[, session {{session_id}}]",
        "session_id",
        payload="boundary direction peer peer_aid responder",
        makes="session_id",
    ),
    _agent(
        "handshake.complete",
        f"{_SPEAKER} completed the handshake with {_PEER}[, session {{session_id}}][; not granted: {{missing}}]",
        "session_id",
        payload="boundary direction missing peer peer_aid responder tcts",
    ),
    _agent(
        "handshake.answered",
        "{agent_id} issued a TCT to {initiator|aid_a|'its peer'}[, known by {identity_type}][, granting {grants}]"
        "[ (jti {jti})][, session {session_id}]",
        "session_id jti grants",
        payload="boundary direction identity_type tcts",
        makes="jti",
    ),
    _agent(
        "handshake.failed",
        because(f"{_SPEAKER} broke off the handshake with {_PEER}"),
        level="warning",
        payload="boundary class code direction peer peer_aid reason refused_by registry_code responder retryable"
        " sdk_code seconds source status url",
    ),
    _agent(
        "delegation.issued",
        f"{_SPEAKER} issued a delegation[ to {{target}}][ for {{scope}}] (jti {{jti}})",
        "jti",
        payload="delegatee_aid delegation delegator_aid parent_jti scope",
        makes="jti",
    ),
    _agent(
        "delegation.redeemed",
        f"{_SPEAKER} exchanged a delegation for a TCT[ for {{delegatee|subject}}][ (jti {{jti}})]",
        payload="delegatee delegation delegation_jti delegator parent_jti subject tct",
        makes="jti",
    ),
    _agent(
        "delegation.rejected",
        because(f"{_SPEAKER} rejected a delegation"),
        level="warning",
        payload="class code delegatee delegation_jti delegator reason registry_code retryable sdk_code source status"
        " url",
    ),
    _agent("tct.revoked", f"{_SPEAKER} revoked the TCT {{jti}}[: {{reason}}]", "jti", payload="reason root_jti source"),
    _agent(
        "tct.dropped",
        f"{_SPEAKER} dropped the TCT {{jti}}[, {{side}}], with {_PEER} on the other side[: {{because}}]",
        "jti",
        level="warning",
        payload="because side",
    ),
    _agent(
        "stranger.accepted",
        f"{_SPEAKER} shook hands with {{aid|'somebody'}}, whom nobody introduced: it takes any key",
        level="warning",
        payload="accept",
    ),
    _agent(
        "tct.received",
        f"{_SPEAKER} holds a TCT from {_PEER}[, granting {{grants}}][ (jti {{jti}})][, {{how}}]",
        "jti grants",
        payload="how parent_jti tct",
    ),
    _agent(
        "tct.renewal.requested",
        f"{_SPEAKER} asks {_PEER} to renew its TCT[ (jti {{jti}})]",
        payload="peer peer_aid responder",
    ),
    _agent(
        "tct.renewal.issued",
        f"{_SPEAKER} issued a renewed TCT[ to {{subject|target|peer}}][ (jti {{jti}})]",
        payload="parent_jti peer subject tct",
        makes="jti",
    ),
    _agent(
        "tct.renewal.refused",
        because(f"{_SPEAKER} did not renew the TCT[ {{jti}}]"),
        level="warning",
        payload="code registry_code sdk_code seconds source",
    ),
    _agent("capability.self_execute", f"{_SPEAKER} does {{capability}} itself", "capability"),
    _agent(
        "capability.invoked",
        f"{_SPEAKER} answered {_CALLER}'s call to {{capability}}"
        "[ with status {status_code}][, TCT {jti}][: {error}]",
        "capability",
        payload="caller code status_code",
    ),
    _agent(
        "capability.denied",
        because("{agent_id} refused " + _CALLER + "'s call[ to {capability}]"),
        level="warning",
        payload="caller code peer registry_code sdk_code seconds source status_code subject",
    ),
    _agent(
        "llm.started",
        f"{_SPEAKER} asks the language model[ {{model}}]",
        payload="chars model provider",
        volatile="yes",
    ),
    _agent(
        "llm.complete",
        f"{_SPEAKER} has the language model's answer[ ({{model}})]",
        payload="chars model ms provider",
        volatile="yes",
    ),
    _agent(
        "llm.failed",
        because(f"{_SPEAKER} got no answer from the language model[ {{model}}]"),
        level="warning",
        payload="model ms provider status",
        volatile="yes",
    ),
    _agent(
        "cp.enroll_succeeded",
        f"{_SPEAKER} is in the Control Plane's registry[ as {{aid}}]",
        payload="namespace registered_at",
    ),
    _agent(
        "cp.enroll_failed",
        because(f"{_SPEAKER} could not enroll with the Control Plane"),
        level="warning",
        payload="code operation stage status url",
    ),
    _agent(
        "revocation.list_fetched",
        f"{_SPEAKER} verified a revocation list[ of {{issuer|source_url}}][, {{count|entry_count|entries}} revoked]"
        "[, now denied here: {denied}]",
        payload="count denied entries entry_count issuer peer",
        volatile="alone",
    ),
    _agent(
        "revocation.refresh_failed",
        because(f"{_SPEAKER} could not fetch a revocation list"),
        level="warning",
        payload="class code fail_mode issuer peer status",
        volatile="alone",
    ),
    _agent(
        "revocation.verify_failed",
        because(f"{_SPEAKER} discarded a revocation list"),
        "cause",
        "warning",
        payload="fail_mode issuer lost peer",
        volatile="alone",
    ),
)


_TABLE: Mapping[str, EventSpec] = {row.type: row for row in _ROWS}
assert len(_TABLE) == len(_ROWS), "an event type has two rows"

TYPES = tuple(_TABLE)
AGENT_TYPES = frozenset(row.type for row in _ROWS if row.origin == "agent")
TERMINAL_TYPES: Mapping[str, EndStatus] = {row.type: row.status for row in _ROWS if row.status is not None}
#: How a step ended, by the type that says so.
STEP_ENDS: Mapping[str, StepOutcome] = {
    "step.complete": "complete",
    "step.failed": "failed",
    "step.skipped": "skipped",
}
AFTER_TERMINAL = frozenset(row.type for row in _ROWS if row.after_terminal)

_HEAD = frozenset({"seq", "id", "type", "ts", "run_id"})
_SHAPES: Mapping[str, type] = {"error": str, "grants": list, "result": Mapping, "peers": Mapping, "payload": Mapping}


def spec(event_type: str) -> EventSpec | None:
    """The row of a type, None for an unknown one."""
    return _TABLE.get(event_type)


def known_fields(event_type: str) -> frozenset[str] | None:
    """Every name that an event of this type can have at its top or in its payload; None when its payload is open."""
    row = _TABLE[event_type]
    return None if "*" in row.payload else _HEAD | row.allowed | row.payload


def payload_fields(event_type: str) -> frozenset[str] | None:
    """Every name that can stand in the payload of an event of this type; None when that is open."""
    payload = _TABLE[event_type].payload
    return None if "*" in payload else payload


def validate(draft: EventDraft) -> None:
    """Hold a draft against its row. Raises ValueError that names the type and every fault.

    For tests and strict mode: an unknown type, a missing or undeclared field, a field of the wrong shape.
    """
    row = _TABLE.get(draft.type)
    if row is None:
        raise ValueError(f"{draft.type}: no such event type; add a row to the vocabulary")
    present = {name for name, value in draft.fields.items() if value is not None}
    faults = [f"{name} is missing" for name in sorted(row.must - present)]
    faults += [f"{name} is not declared" for name in sorted(present - row.allowed)]
    inside = draft.fields.get("payload")
    if isinstance(inside, Mapping) and "*" not in row.payload:
        faults += [f"payload.{name} is not declared" for name in sorted(set(inside) - row.payload)]
    faults += [
        f"{name} must be a {shape.__name__}"
        for name, shape in _SHAPES.items()
        if name in present and not isinstance(draft.fields[name], shape)
    ]
    if faults:
        raise ValueError(f"{draft.type}: {'; '.join(faults)}")


assert all(row.must | row.may <= set(PROMOTED) for row in _ROWS), "a row names a field that is not promoted"
