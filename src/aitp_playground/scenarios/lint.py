"""Lint: everything that is wrong with the files of a scenarios directory, and what is merely doubtful about them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from aitp_playground.resources import agents_dir
from aitp_playground.scenarios.checks import AGENTS, Fault
from aitp_playground.scenarios.doubtful_claims import doubtful_claims
from aitp_playground.scenarios.entrypoints import entrypoint_faults, interpreter_doubt
from aitp_playground.scenarios.findings import Finding
from aitp_playground.scenarios.folders import subfolders
from aitp_playground.scenarios.idle_fields import idle_fields
from aitp_playground.scenarios.index import Index
from aitp_playground.scenarios.inputs import unfit_defaults
from aitp_playground.scenarios.loaded import LoadedScenario
from aitp_playground.scenarios.loader import LOOSE, StepTypes
from aitp_playground.scenarios.manifests import MANIFEST_DIR
from aitp_playground.scenarios.models import AgentManifest, AgentRef, Scenario, StepSpec
from aitp_playground.scenarios.patterns import is_linear
from aitp_playground.scenarios.providers import provider
from aitp_playground.scenarios.references import named
from aitp_playground.scenarios.render import has_placeholder
from aitp_playground.scenarios.schemas import slow_patterns
from aitp_playground.scenarios.shape import STEPS
from aitp_playground.scenarios.vacuous import causes_of, vacuous

Rule = Callable[[Scenario, Mapping[str, AgentManifest]], Iterator[Fault]]


def lint(root: Path, step_types: StepTypes, beside: Sequence[Path] = ()) -> list[Finding]:
    """Errors and warnings, in the order of files and lines. Reads the files afresh; blocking.

    ``beside``: other scenarios directories whose manifests these scenarios may name.
    """
    index = Index([root], step_types, beside)
    listing = index.scan()
    doubtful = (finding for finding in listing.warnings if finding.message != LOOSE)
    findings = {*listing.errors, *doubtful, *_packs(index, root), *_manifest_ids(index), *_entrypoints(index, root)}
    rules: tuple[Rule, ...] = (*_RULES, partial(_vacuous, causes=causes_of(step_types)))
    for loaded in listing.scenarios:
        findings.update(_scenario(loaded, rules))
    return sorted(findings)


def _packs(index: Index, root: Path) -> Iterator[Finding]:
    for folder in subfolders(root, root, []):
        file = folder / "pack.yaml"
        if not file.is_file():
            yield Finding(f"{folder.name}/pack.yaml", 1, "", "the pack has no pack.yaml", "warning")
        elif (slug := index.slug(file)) not in {None, folder.name}:
            message = f"is {slug!r}, but the directory's name, {folder.name!r}, is the pack of its scenarios' refs"
            yield Finding(f"{folder.name}/pack.yaml", 1, "metadata.slug", message, "warning")


def _manifest_ids(index: Index) -> Iterator[Finding]:
    for path, file in index.manifest_files():
        if file.manifest is not None and file.manifest.metadata.id != path.stem:
            message = f"is {file.manifest.metadata.id!r}, but the file's name is what a ref names"
            yield Finding(f"{MANIFEST_DIR}/{path.name}", 1, "metadata.id", message, "warning")


def _entrypoints(index: Index, root: Path) -> Iterator[Finding]:
    roots = [directory for directory in (root.resolve().parent / "agents", agents_dir()) if directory.is_dir()]
    for _, file in index.manifest_files():
        if file.manifest is not None and file.marks is not None:
            for fault in entrypoint_faults(file.manifest.spec, roots):
                yield file.marks.finding(("spec", "entrypoint", "value"), fault)
            if (doubt := interpreter_doubt(file.manifest.spec.host.python)) is not None:
                yield file.marks.finding(("spec", "host", "python"), doubt, "warning")


def _scenario(loaded: LoadedScenario, rules: Iterable[Rule]) -> Iterator[Finding]:
    at = "/".join(loaded.path.parts[-4:-2]) + "@" + loaded.path.parts[-2]
    if at != loaded.ref:
        yield loaded.marks.finding(("metadata",), f"the ref is {loaded.ref}, the path says {at}", "warning")
    variants = [(loaded.scenario, loaded.manifests, loaded.marks)]
    variants += [(variant.merged, variant.manifests, variant.marks) for variant in loaded.templates.values()]
    for scenario, manifests, marks in variants:
        for rule in rules:
            for path, message in rule(scenario, manifests):
                yield marks.finding(path, message, "warning")


def _ports(scenario: Scenario, _: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    seen: dict[int, str] = {}
    for index, agent in enumerate(scenario.spec.agents):
        other = seen.setdefault(agent.port_offset, agent.id)
        if other != agent.id:
            yield (*AGENTS, index, "port_offset"), f"{agent.port_offset} is {other}'s; one of them gets another port"


def _unused(scenario: Scenario, _: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    used = {name for step in scenario.spec.workflow.steps for _, name in named(step, AgentRef)}
    used |= {callee for step, _, callee in _calls(scenario, _) if callee}
    for index, agent in enumerate(scenario.spec.agents if used else ()):  # one must be there, needed or not
        if agent.id not in used:
            yield (*AGENTS, index, "id"), f"no step makes use of {agent.id}"


def _untrusted(scenario: Scenario, manifests: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    """Calls under a token that nothing before them can have brought."""
    if scenario.spec.trust.eager:
        return
    held: set[tuple[str, str]] = set()
    for (step, index, callee), own in zip(_calls(scenario, manifests), scenario.spec.workflow.steps, strict=True):
        caller = getattr(step, "agent", "")
        if callee and step.type != "capability_call_no_trust" and (caller, callee) not in held:
            message = f"{caller} calls {callee} before any handshake with it, and trust is not eager"
            yield (*STEPS, index, "capability"), message
        if own.fault is None:
            held |= _brought(own)


def _brought(step: StepSpec) -> set[tuple[str, str]]:
    """``(holder, issuer)`` of the tokens a step brings about."""
    pairs = (("initiator", "responder"), ("delegatee", "target"))
    return {
        (getattr(step, holder), getattr(step, issuer))
        for holder, issuer in pairs
        if hasattr(step, holder) and hasattr(step, issuer)
    }


def _passed_on(scenario: Scenario, manifests: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    """Delegations out of a token that was redeemed, where its issuer gives no voucher with such a one."""
    if scenario.spec.trust.eager:
        return
    hops: dict[tuple[str, str], int] = {}
    made: dict[str, int] = {}
    for index, step in enumerate(scenario.spec.workflow.steps):
        if step.type == "delegate":
            issuer, delegator = getattr(step, "via_peer", ""), getattr(step, "delegator", "")
            made[step.id] = hops.get((delegator, issuer), 0)
            allowed = manifests[issuer].spec.aitp.redelegation if issuer in manifests else 0
            if made[step.id] > allowed:
                message = f"{delegator} redeemed what it has of {issuer}, which lets that be passed on {allowed} times"
                yield (*STEPS, index, "via_peer"), f"{message} (aitp.redelegation)"
        elif step.fault is None:
            came_by = made.get(getattr(step, "via_delegation", ""), -1) + 1
            hops |= {pair: min(came_by, hops.get(pair, came_by)) for pair in _brought(step)}


def _not_offered(scenario: Scenario, manifests: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    for index, step in enumerate(scenario.spec.workflow.steps):
        target, capability = getattr(step, "target_agent", ""), getattr(step, "capability", "")
        if target in manifests and capability not in manifests[target].spec.aitp.offered_caps:
            message = f"{target} does not offer {capability}: the answer is 404, whoever asks"
            yield (*STEPS, index, "capability"), message


def _of_steps(scenario: Scenario, manifests: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    """What the step types have to say of their own."""
    for index, step in enumerate(scenario.spec.workflow.steps):
        for place, message in step.doubts(manifests):
            yield (*STEPS, index, *place), message


def _idle_fault(scenario: Scenario, manifests: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    for step, index, callee in _calls(scenario, manifests):
        if step.fault is not None and hasattr(step, "capability") and callee is None:
            yield (*STEPS, index, "fault"), "the agent does this by itself: there is no connection to break"


def _proofless(scenario: Scenario, _: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    if not any(step.expect or getattr(step, "expect_status", None) for step in scenario.spec.workflow.steps):
        yield STEPS, "no step expects anything: this demonstrates nothing"


def _vacuous(
    scenario: Scenario, _: Mapping[str, AgentManifest], *, causes: Mapping[str, Collection[str]]
) -> Iterator[Fault]:
    for index, number in vacuous(scenario, causes):
        event = scenario.spec.workflow.steps[index].expect[number].event
        message = f"nothing here brings about {event}, so this holds whatever happens, and is not counted as a claim"
        yield (*STEPS, index, "expect", number, "event"), message


def _defaults(scenario: Scenario, _: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    for path, message in unfit_defaults(scenario.spec.inputs.json_schema):
        yield ("spec", "inputs", "schema", *path), message


def _slow_patterns(scenario: Scenario, _: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    reason = "it is matched by a process of its own, with a time limit: look-around and back references take that"
    for path, pattern in slow_patterns(scenario.spec.inputs.json_schema):
        yield ("spec", "inputs", "schema", *path), f"{pattern!r}: {reason}"
    for index, step in enumerate(scenario.spec.workflow.steps):
        for number, expectation in enumerate(step.expect):
            pattern = expectation.matches or ""
            if not has_placeholder(pattern) and not is_linear(pattern):
                yield (*STEPS, index, "expect", number, "matches"), f"{pattern!r}: {reason}"


def _calls(scenario: Scenario, manifests: Mapping[str, AgentManifest]) -> Iterator[tuple[StepSpec, int, str | None]]:
    """Each step with its index and the agent it calls, None when it calls nobody."""
    for index, step in enumerate(scenario.spec.workflow.steps):
        yield step, index, _callee(step, scenario, manifests)


def _callee(step: StepSpec, scenario: Scenario, manifests: Mapping[str, AgentManifest]) -> str | None:
    target: str | None = getattr(step, "target_agent", None)
    capability = getattr(step, "capability", None)
    if target is not None or capability is None:
        return target
    caller = getattr(step, "agent", None)
    found = provider(scenario, manifests, caller, capability)
    return None if found == caller else found


_RULES: tuple[Rule, ...] = (
    _ports,
    _unused,
    _untrusted,
    _passed_on,
    _not_offered,
    _of_steps,
    _idle_fault,
    _proofless,
    _defaults,
    _slow_patterns,
    idle_fields,
    doubtful_claims,
)
