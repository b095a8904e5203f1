"""Whatever any shipped scenario produces, an implementation that shares no code with the agents' verifies; it judges
every call and redemption as they did."""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.server import control_plane
from aitp_playground.service import Playground
from tests.integration.scenarios.test_proofs import CONTROLS, PROOFS, WITH_CP
from tests.support.controls import SHIPPED, Control, write_controls
from tests.support.oracle import Contradiction, Document, Oracle, read_tap
from tests.support.playground import Outcome, playground_at, run

pytestmark = pytest.mark.asyncio(loop_scope="module")

ON_THEIR_OWN = [*PROOFS, *((ref, None) for ref in sorted(WITH_CP))]
#: Controls whose agents do what they must not, so that the oracle has something to contradict.
DISHONEST = [
    control
    for control in CONTROLS
    if control.name in ("the writer does not verify tokens", "the writer honours its old key")
]
assert len(DISHONEST) == 2


def known_by_an_issuer(suite: str) -> Control:
    """The researcher has an OIDC identity and gets a new key as well: its issuer has to vouch for that."""

    def edit(document: Document) -> None:
        spec = document["spec"]
        spec["agents"][0] |= {"ref": "_shared/agents/researcher-oidc", "signing_suite": suite}
        shake = {"type": "handshake", "initiator": "researcher", "responder": "writer"}
        call = {"agent": "researcher", "target_agent": "writer", "capability": "write.content"}
        new = "{{ outputs.researcher_rotates.new_aid }}"
        told = {"event": "handshake.answered", "min": 1, "max": 1}
        by_its_new_key = {"agent_id": "writer", "identity_type": "oidc", "aid_a": new}
        let_in = {"event": "capability.invoked", "where": {"agent_id": "writer", "aid": new}, "min": 1}
        spec["workflow"]["steps"] += [
            {"id": "researcher_rotates", "type": "rotate_keys", "agent": "researcher"},
            {"id": "shake_as_another", **shake, "expect": [{**told, "where": by_its_new_key}]},
            {"id": "write_as_another", "type": "capability_probe", **call, "expect_status": 200, "expect": [let_in]},
            {"id": "shake_back", "type": "handshake", "initiator": "writer", "responder": "researcher"},
        ]

    return Control(f"known by an issuer, {suite}", "intra-org/key-rotation@1.0.0", "", edit)


KNOWN_BY_AN_ISSUER = [known_by_an_issuer(suite) for suite in ("ed25519", "p256")]
MESSAGES = {"mutual_hello", "mutual_hello_ack", "mutual_commit", "mutual_commit_ack"}
EXCHANGE = MESSAGES | {"manifest", "tct", "voucher", "list"}
#: What besides must have been seen, so that no scenario passes because nothing was written down.
ALSO = {
    "intra-org/delegation-chain@1.0.0": {"delegation", "redemption granted", "call granted"},
    "intra-org/delegation-multihop@1.0.0": {"delegation", "redemption granted", "call granted", "call refused"},
    "intra-org/cp-delegation-tree@1.0.0": {"delegation", "redemption granted"},
    "intra-org/session-bundle@1.0.0": {"bundle", "holder granted"},
    "intra-org/tct-renewal@1.0.0": {"holder granted", "call granted"},
    "intra-org/key-rotation@1.0.0": {"call granted", "call refused"},
    "intra-org/oidc-identity@1.0.0": {"id_token", "call granted"},
    "intra-org/revocation-demo@1.0.0": {"call granted", "call refused"},
    "intra-org/scoped-capabilities@1.0.0": {"call granted", "call refused"},
    "intra-org/tct-cache-perf@1.0.0": {"call granted", "call refused"},
    "intra-org/trust-gate@1.0.0": {"call granted", "call refused"},
}
#: Nothing of theirs is between agents.
ALONE = {"intra-org/spki-pinning@1.0.0", "intra-org/external-enrollment@1.0.0"}


@dataclass(frozen=True)
class Tapped:
    """A playground whose agents are tapped."""

    running: Playground
    file: Path
    refs: dict[str, str]
    outside: frozenset[str] = frozenset()

    async def run(self, ref: str, template: str | None = None) -> tuple[Outcome, list[Document]]:
        self.file.unlink(missing_ok=True)
        outcome = await run(self.running, ref, template=template)
        return outcome, read_tap(self.file) if self.file.exists() else []


@contextlib.asynccontextmanager
async def tapped(base: Path, outside: frozenset[str] = frozenset(), **settings: Any) -> AsyncIterator[Tapped]:
    """The shipped scenarios as they are, and the dishonest controls, with workers that are tapped."""
    root, refs = write_controls(base, [*DISHONEST, *KNOWN_BY_AN_ISSUER])
    shutil.copytree(SHIPPED, root, dirs_exist_ok=True)
    file = base / "tap"
    for path in (root / "_shared/agents").glob("*.yaml"):
        manifest = yaml.safe_load(path.read_text())
        entrypoint, host = manifest["spec"]["entrypoint"], manifest["spec"]["host"]
        host["env"] = {"TAP_FILE": str(file), "TAP_WORKER": entrypoint["value"]}
        host.pop("cwd", None)
        entrypoint["value"] = "tapped.main"
        path.write_text(yaml.safe_dump(manifest))
    async with playground_at(base / "state", scenarios_dir=str(root), **settings) as running:
        yield Tapped(running, file, refs, outside)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alone(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tapped]:
    async with tapped(tmp_path_factory.mktemp("alone")) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def with_cp(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tapped]:
    async with control_plane(Options(time_scale=0.01, api_keys=("oracle-key",))) as cp:
        given = {"cp_base_url": cp.url, "cp_api_key": cp.key, "cp_aid": cp.aid}
        async with tapped(tmp_path_factory.mktemp("with-cp"), frozenset({cp.aid}), **given) as found:
            yield found


@pytest.mark.parametrize(("ref", "template"), ON_THEIR_OWN)
async def test_what_a_scenario_produces_is_what_the_standard_says(
    alone: Tapped, ref: str, template: str | None
) -> None:
    outcome, messages = await alone.run(ref, template)
    assert outcome.status == "success", outcome.view.error
    judged(outcome, messages, ref)


@pytest.mark.parametrize("ref", sorted(WITH_CP))
async def test_what_a_scenario_produces_beside_a_control_plane_is_what_the_standard_says(
    with_cp: Tapped, ref: str
) -> None:
    outcome, messages = await with_cp.run(ref)
    assert outcome.status == "success", outcome.view.error
    oracle = judged(outcome, messages, ref, with_cp.outside)
    if "revocation-via-cp" in ref:
        assert oracle.seen["call refused"] == 1


@pytest.mark.parametrize("control", KNOWN_BY_AN_ISSUER, ids=lambda control: control.name.rpartition(" ")[2])
async def test_an_issuer_vouches_for_the_new_key_of_an_agent(alone: Tapped, control: Control) -> None:
    outcome, messages = await alone.run(alone.refs[control.name])
    assert (outcome.status, outcome.view.proof) == ("success", "proven"), outcome.view.error
    oracle = judged(outcome, messages, control.ref)
    assert oracle.seen["id_token"] == 4, "one for each of its four greetings"


def judged(outcome: Outcome, messages: list[Document], ref: str, outside: frozenset[str] = frozenset()) -> Oracle:
    oracle = Oracle(messages, outside)
    oracle.judge()
    if ref not in ALONE:
        expected = EXCHANGE | ALSO.get(ref, set())
        assert expected <= oracle.seen.keys(), expected - oracle.seen.keys()
    logged = written_down(outcome)
    assert logged.items() <= oracle.tcts.items(), "a token that nobody has seen"
    unkept = [(oracle.tcts[jti]["iss"], oracle.tcts[jti]["sub"]) for jti in oracle.tcts.keys() - logged.keys()]
    assert sorted(unkept) == sorted(given_in_passing(outcome))
    return oracle


def given_in_passing(outcome: Outcome) -> list[tuple[str, str]]:
    """Initiator and responder of each handshake of one direction: both have to grant (RFC-AITP-0004, section 4), and
    what the initiator then grants is not kept."""
    one_way = [event.payload for event in outcome.of("handshake.complete") if event.payload["direction"] == "one"]
    kept = [claims for payload in one_way for claims in payload["tcts"]]
    assert len(kept) == len(one_way)
    return [(claims["sub"], claims["iss"]) for claims in kept]


def written_down(outcome: Outcome) -> dict[str, Document]:
    """jti -> claims, of every token that the log tells of."""
    found: dict[str, Document] = {}
    for event in outcome.events:
        for claims in (*event.payload.get("tcts", ()), *([event.payload["tct"]] if "tct" in event.payload else ())):
            claims = claims.get("claims", claims)
            assert found.setdefault(claims["jti"], claims) == claims
    return found


@pytest.mark.parametrize("control", DISHONEST, ids=lambda control: control.name.replace(" ", "-"))
async def test_what_an_agent_wrongly_grants_is_contradicted(alone: Tapped, control: Control) -> None:
    outcome, messages = await alone.run(alone.refs[control.name])
    assert outcome.failed_step == control.at
    with pytest.raises(Contradiction, match="answered 200"):
        Oracle(messages).judge()


Edit = Callable[[list[Document]], None]


def where(messages: list[Document], path: str, status: int = 200) -> Document:
    served = (one for one in messages if one["side"] == "served")
    return next(one for one in served if one["path"].endswith(path) and one["status"] == status)


def changed(path: str, field: str, name: str, value: Any) -> Edit:
    """A member of a document, however deep, is another one than was signed."""

    def edit(messages: list[Document]) -> None:
        message = where(messages, path)
        document = json.loads(message[field])
        _set(document, name, value)
        message[field] = json.dumps(document)

    return edit


def _set(document: Any, name: str, value: Any) -> None:
    if isinstance(document, dict):
        if name in document:
            document[name] = value
        else:
            for member in document.values():
                _set(member, name, value)


def answered(path: str, status: int, instead: int) -> Edit:
    def edit(messages: list[Document]) -> None:
        where(messages, path, status)["status"] = instead

    return edit


def with_a_blot(path: str, find: Callable[[Document], str]) -> Edit:
    """Ten letters of the signature of a token that is in the open are other ones."""

    def edit(messages: list[Document]) -> None:
        message = where(messages, path)
        token = find(message)
        blotted = token[:-30] + ("A" * 10 if token[-30:-20] != "A" * 10 else "B" * 10) + token[-20:]
        for field in ("headers", "body", "answer"):
            text = json.dumps(message[field])
            message[field] = json.loads(text.replace(token, blotted))

    return edit


def unchallenged(messages: list[Document]) -> None:
    messages[:] = [one for one in messages if not one["path"].endswith("/aitp/pop/challenge")]


def asked_again(messages: list[Document]) -> None:
    """A call is recorded and sent once more."""
    call = where(messages, "/capabilities/write.content")
    messages.append({**call, "at": messages[-1]["at"]})


def given_another_key(messages: list[Document]) -> None:
    for message in messages:
        message["trusted"] = {issuer: [_other(key) for key in keys] for issuer, keys in message["trusted"].items()}


def _other(key: Document) -> Document:
    return {**key, "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


def with_something_else(messages: list[Document]) -> None:
    where(messages, "/aitp/pop/challenge")["answer"] = json.dumps({"promise": "to be good", "signature": "AAAA"})


def redeemed_for_another(messages: list[Document]) -> None:
    """What comes of a redemption is a token that was given to the delegator."""
    redeemed = where(messages, "/aitp/delegation/redeem")
    call = where(messages, "/capabilities/write.content")
    commit = json.loads(where(messages, "/aitp/handshake/commit")["answer"])
    assert call["at"] > redeemed["at"]
    document = json.loads(redeemed["answer"])
    _set(document, "tct", commit["payload"]["tct"])
    redeemed["answer"] = json.dumps(document)


def changed_bundle(messages: list[Document]) -> None:
    message = next(one for one in messages if one["side"] == "served" and '"session_bundle"' in one["answer"])
    changed(message["path"], "answer", "issued_at", 1)(messages)


CHAIN, GATE = "intra-org/delegation-chain@1.0.0", "intra-org/trust-gate@1.0.0"
DAMAGES: dict[str, tuple[str, Edit, str]] = {
    "manifest": (GATE, changed("/.well-known/aitp-manifest", "answer", "display_name", "Somebody"), "MANIFEST_SIG"),
    "greeting": (GATE, changed("/hello", "body", "requested_grants", ["*"]), "INVALID_SIGNATURE"),
    "commit": (GATE, changed("/commit", "body", "pop_nonce_echo", "AAAA"), "INVALID_SIGNATURE"),
    "token": (GATE, with_a_blot("/capabilities/write.content", lambda call: call["headers"]["x-aitp-tct"]), "TCT_SIG"),
    "list": (GATE, changed("/.well-known/aitp-revocation-list", "answer", "expires_at", 9999999999), "SIGNATURE"),
    "delegation": (
        CHAIN,
        with_a_blot("/admin/delegate", lambda told: json.loads(told["answer"])["delegation_token"]),
        "DELEGATION_INVALID_SIGNATURE",
    ),
    "redemption": (CHAIN, redeemed_for_another, "holder of what was redeemed"),
    "bundle": (
        "intra-org/session-bundle@1.0.0",
        changed_bundle,
        "BUNDLE_INVALID_SIGNATURE",
    ),
    "issuer": ("intra-org/oidc-identity@1.0.0", given_another_key, "IDENTITY_FAILED"),
    "proof": (GATE, unchallenged, "answered 200.*POP_RESPONSE_INVALID"),
    "copy": (GATE, asked_again, "answered 200.*POP_RESPONSE_INVALID"),
    "granted": (GATE, answered("/capabilities/write.content", 403, 200), "answered 200.*no token"),
    "refused": (GATE, answered("/capabilities/write.content", 200, 403), "answered 403.*yes"),
    "unknown": (GATE, with_something_else, "of no kind that is known"),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_nothing_goes_by_the_oracle(alone: Tapped, damage: str) -> None:
    ref, edit, why = DAMAGES[damage]
    _, messages = await alone.run(ref)
    Oracle(copy.deepcopy(messages)).judge()
    edit(messages)
    with pytest.raises(Contradiction, match=why):
        Oracle(messages).judge()
