"""Each field of a scenario or a manifest does what the page says: with another value, something else is seen.

Which test stands for which field is told, and held to the models, in ``tests/unit/scenarios/test_fields.py``.
"""

from __future__ import annotations

import itertools
import shutil
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Literal

import aiohttp
import aitp
import pytest
import pytest_asyncio
import yaml

from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.server import Running, control_plane
from aitp_playground.hosting.keys import derive_seed
from aitp_playground.runs.conducting import run_agents
from aitp_playground.service import Playground
from tests.support.playground import VARIANTS, Outcome, playground_at, run

pytestmark = pytest.mark.asyncio(loop_scope="module")

ISSUER = "https://idp.example/"
OIDC = {"identity_type": "oidc", "oidc_issuer": ISSUER, "oidc_subject": "one"}
LOOK, OTHER = "mirror.look", "mirror.other"
_numbers: Iterator[int] = itertools.count(1)
Fields = dict[str, Any]


def agent(**fields: Any) -> Fields:
    """An agent and its manifest: ``agent`` (in the scenario), ``aitp``, ``host``, ``metadata`` and ``spec`` fields."""
    return fields


def step(step_id: str, step_type: str, **fields: Any) -> Fields:
    return {"id": step_id, "type": step_type, **fields}


def look(agent_id: str) -> Fields:
    return step(f"look_{agent_id}", "workflow", agent=agent_id, capability=LOOK)


def handshake(initiator: str = "one", responder: str = "two", **fields: Any) -> Fields:
    return step(f"{initiator}_{responder}", "handshake", initiator=initiator, responder=responder, **fields)


def probe(step_id: str, caller: str = "one", target: str = "two", capability: str = LOOK, **fields: Any) -> Fields:
    return step(step_id, "capability_probe", agent=caller, target_agent=target, capability=capability, **fields)


class Bench:
    """Writes scenarios and runs them."""

    def __init__(self, root: Path, running: Playground, cp: Running) -> None:
        self.root, self.running, self.cp = root, running, cp

    async def run(self, *steps: Fields, agents: dict[str, Fields] | None = None, **spec: Any) -> Outcome:
        number = next(_numbers)
        told = agents or {"one": agent(), "two": agent()}
        listed = [self._agent(number, agent_id, fields) for agent_id, fields in told.items()]
        trust = {"eager": False, **spec.pop("trust", {})}
        document = {
            "apiVersion": "aitp.dev/v1",
            "kind": "ScenarioVersion",
            "metadata": {"pack": "fields", "scenario": f"case-{number}", "version": "1.0.0", "name": "A case"},
            "spec": {"agents": listed, "trust": trust, "workflow": {"steps": list(steps)}, **spec},
        }
        self._write(f"fields/case-{number}/1.0.0/scenario.yaml", document)
        return await run(self.running, f"fields/case-{number}@1.0.0")

    def _agent(self, number: int, agent_id: str, fields: Fields) -> Fields:
        name = f"case-{number}-{agent_id}"
        face = {"offered_caps": [LOOK, OTHER], "display_name": agent_id, **fields.get("aitp", {})}
        spec = {"entrypoint": {"type": "python_module", "value": "mirror.main"}, "aitp": face, **fields.get("spec", {})}
        if "host" in fields:
            spec["host"] = fields["host"]
        metadata = {"id": name, "name": name, "framework": "custom", "version": "1.0.0", **fields.get("metadata", {})}
        kind = {"apiVersion": "aitp.dev/v1", "kind": "AgentManifest"}
        self._write(f"_shared/agents/{name}.yaml", {**kind, "metadata": metadata, "spec": spec})
        return {"id": agent_id, "ref": f"_shared/agents/{name}", **fields.get("agent", {})}

    def _write(self, name: str, document: Fields) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(document), encoding="utf-8")

    async def at_cp(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.cp.key}"}
        async with aiohttp.ClientSession(headers=headers) as http, http.get(self.cp.url + path) as answer:
            return await answer.json(content_type=None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    home = tmp_path_factory.mktemp("fields")
    root = home / "scenarios"
    root.mkdir()
    shutil.copytree(VARIANTS / "agents", home / "agents")
    (home / "agents/mirror/elsewhere").mkdir()
    async with control_plane(Options(api_keys=("fields-key",))) as cp:
        settings = {"cp_base_url": cp.url, "cp_api_key": cp.key, "cp_aid": cp.aid}
        settings |= {"llm_provider": "openai", "openai_api_key": "sk-of-nobody"}
        async with playground_at(home, scenarios_dir=str(root), **settings) as running:
            yield Bench(root, running, cp)


def succeeded(outcome: Outcome) -> Outcome:
    assert outcome.status == "success", outcome.view.error
    return outcome


def aid_of(outcome: Outcome, agent_id: str) -> str:
    return str(next(event.get("aid") for event in outcome.of("agent.ready", agent_id=agent_id)))


# -- agents ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("org", ["internal", "external"])
@pytest.mark.parametrize(
    ("said", "manifest", "suite"), [(None, None, "ed25519"), (None, "p256", "p256"), ("ed25519", "p256", "ed25519")]
)
async def test_the_key_is_of_the_organisation_and_of_the_suite(
    bench: Bench,
    org: Literal["internal", "external"],
    said: str | None,
    manifest: str | None,
    suite: Literal["ed25519", "p256"],
) -> None:
    own = {"org": org} | ({"signing_suite": said} if said else {})
    outcome = succeeded(
        await bench.run(
            look("one"), agents={"one": agent(agent=own, aitp={"signing_suite": manifest} if manifest else {})}
        )
    )
    seed = derive_seed(bench.running.services.secret, org, outcome.run_id, "one", 0)
    assert aid_of(outcome, "one") == aitp.AitpAgent.from_seed(seed, suite).aid


async def test_the_offset_is_added_to_the_first_port(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    bind = run_agents.bind_agent_socket

    def listening(base: int, offset: int) -> Any:
        asked.append((base, offset))
        return bind(base, offset)

    monkeypatch.setattr(run_agents, "bind_agent_socket", listening)
    await bench.run(look("one"), agents={"one": agent(agent={"port_offset": 7}), "two": agent()})
    base = bench.running.services.settings.agent_base_port
    assert sorted(asked) == [(base, 0), (base, 7)]


async def test_labels_are_told_to_whoever_watches(bench: Bench) -> None:
    told = {"name": "A mirror", "version": "3.2.1", "framework": "langgraph"}
    outcome = await bench.run(
        look("one"),
        agents={"one": agent(agent={"cloud": "aws", "org": "external"}, metadata=told), "two": agent()},
    )
    payloads = {event.get("agent_id"): event.payload for event in outcome.of("agent.spawning")}
    assert payloads["one"] == {**told, "cloud": "aws", "org": "external"}
    assert payloads["two"].keys() == {"name", "version", "framework", "org"}


@pytest.mark.parametrize("boundary", ["intra_org", "cross_org", "cross_cloud"])
async def test_the_boundary_is_told_with_each_handshake(bench: Bench, boundary: str) -> None:
    outcome = succeeded(await bench.run(handshake(), trust={"boundary": boundary}))
    assert len(outcome.of("handshake.complete", boundary=boundary)) == 1
    assert len(outcome.of("handshake.answered", boundary=boundary)) == 1


async def test_eager_trust_is_there_before_the_first_step_and_else_not(bench: Bench) -> None:
    eager = succeeded(await bench.run(probe("call", expect_status=200), trust={"eager": True}))
    assert len(eager.of("trust.established")) == 2
    lazy = await bench.run(probe("call", expect_status=200))
    assert (lazy.failed_step, lazy.of("trust.established")) == ("call", [])


# -- manifests ---------------------------------------------------------------------------------------------------------


async def test_the_face_of_an_agent_is_what_its_manifest_says(bench: Bench) -> None:
    faces = {
        "one": {"display_name": "First", "offered_caps": [LOOK], "ttl_secs": 60},
        "two": {"display_name": "Second", "offered_caps": [OTHER, LOOK], "ttl_secs": 90_000, **OIDC},
    }
    agents = {agent_id: agent(aitp=face) for agent_id, face in faces.items()}
    outcome = succeeded(await bench.run(look("one"), look("two"), agents=agents))
    for agent_id, face in faces.items():
        manifest = outcome.outputs[f"look_{agent_id}"]["manifest"]
        assert manifest["display_name"] == face["display_name"]
        assert manifest["offered_capabilities"] == face["offered_caps"]
        assert manifest["expires_at"] - manifest["published_at"] == face["ttl_secs"]
        assert sorted(manifest["accepted_identity_types"]) == ["oidc", "pinned_key"]
    assert outcome.outputs["look_one"]["manifest"]["identity_hint"]["type"] == "pinned_key"
    hint = outcome.outputs["look_two"]["manifest"]["identity_hint"]
    assert (hint["type"], hint["issuer"], hint["subject"]) == ("oidc", ISSUER, "one")


async def test_a_token_lives_no_longer_than_its_issuers_manifest(bench: Bench) -> None:
    agents = {"one": agent(), "two": agent(aitp={"ttl_secs": 60})}
    outcome = succeeded(await bench.run(handshake(), handshake("two", "one"), agents=agents))
    lives = {}
    for event in outcome.of("handshake.answered"):
        [claims] = [claims for claims in event.payload["tcts"] if claims["jti"] == event.get("jti")]
        lives[event.get("agent_id")] = claims["exp"] - claims["iat"]
    assert lives["two"] <= 60
    assert lives["one"] > 3000


async def test_what_is_redeemed_comes_with_a_voucher_as_often_as_the_manifest_says(bench: Bench) -> None:
    for allowed, failed in ((1, None), (0, "again")):
        agents = {"one": agent(), "two": agent(aitp={"redelegation": allowed}), "three": agent(), "four": agent()}
        outcome = await bench.run(
            handshake(),
            step("make", "delegate", delegator="one", delegatee="three", via_peer="two", scope=[LOOK]),
            step("redeem", "redeem_delegation", delegatee="three", target="two", via_delegation="make"),
            step("again", "delegate", delegator="three", delegatee="four", via_peer="two", scope=[LOOK]),
            agents=agents,
        )
        assert outcome.failed_step == failed, outcome.view.error


async def test_a_did_document_is_served_where_one_is_asked_for(bench: Bench) -> None:
    agents = {
        "none": agent(),
        "own": agent(spec={"did_web": True}),
        "said": agent(agent={"did_web_host": "agents.example"}),
        "both": agent(spec={"did_web": True}, agent={"did_web_host": "localhost:1"}),
    }
    outcome = succeeded(await bench.run(*map(look, agents), agents=agents, trust={"discovery": "did_web"}))
    ports = {event.get("agent_id"): event.get("port") for event in outcome.of("agent.ready")}
    dids = {agent_id: outcome.outputs[f"look_{agent_id}"]["did"] for agent_id in agents}
    assert dids["none"] == 404
    assert dids["own"]["id"] == f"did:web:localhost%3A{ports['own']}"
    assert dids["said"]["id"] == "did:web:agents.example"
    assert dids["both"]["id"] == f"did:web:localhost%3A{ports['both']}", "no literal port is relied upon"
    [resolved] = outcome.of("trust.peers_resolved")
    sources = {agent_id: found["source"] for agent_id, found in resolved.get("peers").items()}
    assert sources == {"none": "static", "own": "did_web", "said": "static_fallback", "both": "did_web"}


async def test_peers_are_where_they_were_launched_unless_they_are_looked_for(bench: Bench) -> None:
    agents = {"one": agent(agent={"org": "external"}), "two": agent(spec={"did_web": True})}
    for discovery, sources in (
        ("static", ["static", "static"]),
        ("did_web", ["static", "did_web"]),
        ("cp_registry", ["static_fallback", "static"]),
    ):
        outcome = succeeded(await bench.run(look("one"), agents=agents, trust={"discovery": discovery}))
        [resolved] = outcome.of("trust.peers_resolved")
        assert [resolved.get("peers")[name]["source"] for name in agents] == sources


async def test_a_process_is_started_as_its_manifest_says(bench: Bench, tmp_path: Path) -> None:
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\necho through > {tmp_path}/trace; exec {sys.executable} "$@"\n')
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    by_file = {"entrypoint": {"type": "python_file", "value": "agents/mirror/main.py"}}
    agents = {
        "plain": agent(),
        "env": agent(host={"env": {"COLOUR": "blue"}}),
        "cwd": agent(host={"cwd": "agents/mirror/elsewhere"}),
        "file": agent(spec=by_file),
        "python": agent(host={"python": str(wrapper)}),
    }
    outcome = succeeded(await bench.run(*map(look, agents), agents=agents))
    seen = {agent_id: outcome.outputs[f"look_{agent_id}"] for agent_id in agents}
    assert [agent_id for agent_id in agents if seen[agent_id]["env"].get("COLOUR") == "blue"] == ["env"]
    assert [agent_id for agent_id in agents if seen[agent_id]["cwd"].endswith("mirror/elsewhere")] == ["cwd"]
    assert (tmp_path / "trace").read_text() == "through\n"
    assert Path(seen["file"]["file"]) == bench.root.parent / "agents/mirror/main.py"
    outcome = await bench.run(
        look("one"), agents={"one": agent(spec={"entrypoint": {"type": "python_module", "value": "no.such"}})}
    )
    assert "no.such" in str(outcome.view.error)


async def test_a_language_model_is_for_those_that_ask_for_one(bench: Bench) -> None:
    agents = {"with": agent(spec={"llm": True}), "without": agent(spec={"llm": False})}
    outcome = succeeded(await bench.run(*map(look, agents), agents=agents))
    assert (outcome.outputs["look_with"]["llm"], outcome.outputs["look_without"]["llm"]) == (True, False)


# -- identities --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", ["ed25519", "p256"])
@pytest.mark.parametrize("accepted", [None, ["oidc"], ["pinned_key"]])
async def test_agents_of_an_issuer_are_accepted_by_those_who_accept_them(
    bench: Bench, suite: str, accepted: list[str] | None
) -> None:
    agents = {
        "one": agent(aitp=OIDC, agent={"signing_suite": suite}),
        "two": agent(aitp={**OIDC, "oidc_subject": "two"}, agent={"org": "external", "signing_suite": "p256"}),
    }
    policy = {} if accepted is None else {"aitp": {"accepted_identity_types": accepted}}
    outcome = await bench.run(handshake(), probe("call", expect_status=200), agents=agents, **policy)
    if accepted == ["pinned_key"]:
        assert outcome.failed_step == "one_two"
        assert "INCOMPATIBLE_IDENTITY_TYPE" in str([event.payload for event in outcome.of("handshake.failed")])
    else:
        assert succeeded(outcome).of("handshake.answered", identity_type="oidc", agent_id="two")


@pytest.mark.parametrize(("initiator", "responder"), [("key", "issued"), ("key", "other")])
async def test_keys_are_refused_by_those_who_want_an_issuers_word(bench: Bench, initiator: str, responder: str) -> None:
    agents = {"key": agent(), "issued": agent(aitp=OIDC), "other": agent()}
    outcome = await bench.run(
        handshake(initiator, responder), agents=agents, aitp={"accepted_identity_types": ["oidc"]}
    )
    assert (outcome.status, outcome.failed_step) == ("failed", f"{initiator}_{responder}")
    told = str([event.payload for event in outcome.of("handshake.failed")])
    assert "INCOMPATIBLE_IDENTITY_TYPE" in told
    assert not outcome.of("trust.established")


async def test_an_issuer_is_one_for_all_that_name_it_and_a_subject_is_each_ones_own(bench: Bench) -> None:
    agents = {
        "one": agent(aitp=OIDC),
        "two": agent(aitp={**OIDC, "oidc_issuer": "https://other.example/", "oidc_subject": "two"}),
        "three": agent(aitp={**OIDC, "oidc_subject": "three"}),
    }
    outcome = succeeded(await bench.run(handshake(), handshake("two", "three"), agents=agents))
    minted = [event.payload["issuer"] for event in outcome.of("oidc.issuer_minted")]
    assert minted == [ISSUER, "https://other.example/"]


# -- steps -------------------------------------------------------------------------------------------------------------


async def test_a_handshake_is_between_the_named_for_what_is_requested(bench: Bench) -> None:
    outcome = succeeded(
        await bench.run(
            handshake(requested_grants=[OTHER]),
            handshake("two", "one"),
            probe("within", capability=OTHER, expect_status=200),
            probe("beyond", expect_status=403),
            handshake("one", "two", requested_grants=[OTHER, "mirror.absent"]) | {"id": "more"},
        )
    )
    established = [
        (event.get("initiator"), event.get("target"), event.get("grants")) for event in outcome.of("trust.established")
    ]
    assert established[0] == ("one", "two", [OTHER])
    assert (established[1][:2], sorted(established[1][2])) == (("two", "one"), [LOOK, OTHER])
    assert outcome.outputs["more"] == {"trust": "established", "granted": [OTHER], "missing": ["mirror.absent"]}


@pytest.mark.parametrize("kind", ["capability_probe", "capability_call_no_trust", "workflow"])
async def test_a_call_is_from_and_to_the_named_with_the_named_input(bench: Bench, kind: str) -> None:
    agents = {
        "one": agent(aitp={"offered_caps": [OTHER]}),
        "two": agent(),
        "three": agent(aitp={"offered_caps": [LOOK]}),
    }
    names = {"agent": "one", "capability": LOOK}
    if kind != "workflow":
        names["target_agent"] = "three"
    outcome = succeeded(
        await bench.run(
            handshake("one", "three"),
            handshake("one", "two"),
            step("first", "workflow", agent="one", capability=OTHER, input_template={"k": "{{ inputs.n }}"}),
            step("from", kind, **names, input_from="first"),
            step("template", kind, **names, input_template={"m": "{{ inputs.n }}"}),
            step("all", kind, **names),
            agents=agents,
            inputs={"schema": {"type": "object", "properties": {"n": {"default": 5}}}},
        )
    )
    for step_id, given in (("from", {"k": 5}), ("template", {"m": 5}), ("all", {"n": 5})):
        if kind == "capability_call_no_trust":
            [denied] = outcome.of("capability.denied", step_id=step_id)
            assert (denied.get("agent_id"), denied.get("capability")) == ("three", LOOK)
            [probed] = outcome.of("step.probing_no_trust", step_id=step_id)
            assert (probed.get("agent"), probed.get("target")) == ("one", "three")
            continue
        [invoked] = outcome.of("capability.invoked", step_id=step_id)
        callee = "two" if kind == "workflow" else "three"
        assert (invoked.get("agent_id"), invoked.payload["caller"]) == (callee, "one")
        output = outcome.outputs[step_id] if kind == "workflow" else outcome.outputs[step_id]["body"]
        assert output["task"] == given


async def test_an_open_door_gets_a_strangers_input(bench: Bench) -> None:
    """What ``capability_call_no_trust`` sends is only seen by an agent that does not refuse it."""
    entry = {"entrypoint": {"type": "python_module", "value": "open_writer.main"}}
    agents = {"one": agent(), "two": agent(spec=entry, aitp={"offered_caps": ["write.content"]})}
    stranger = {"agent": "one", "target_agent": "two", "capability": "write.content"}
    outcome = succeeded(
        await bench.run(
            step("first", "workflow", agent="one", capability=OTHER, input_template={"topic": "locks"}),
            step("from", "capability_call_no_trust", **stranger, input_from="first"),
            step("template", "capability_call_no_trust", **stranger, input_template={"topic": "keys"}),
            agents=agents,
        )
    )
    assert [outcome.outputs[name]["body"]["topic"] for name in ("from", "template")] == ["locks", "keys"]


@pytest.mark.parametrize("kind", ["capability_probe", "capability_call_no_trust"])
async def test_another_status_than_expected_fails_the_run_unless_it_is_only_recorded(bench: Bench, kind: str) -> None:
    names = {"agent": "one", "target_agent": "two", "capability": LOOK}
    for told, status in (({}, "failed"), ({"on_mismatch": "record"}, "success")):
        outcome = await bench.run(handshake(), step("call", kind, **names, expect_status=418, **told))
        assert outcome.status == status
        assert len(outcome.of("step.unexpected_status")) == 1
        assert outcome.view.proof != "proven"


@pytest.mark.parametrize("hop", ["delegate", "redeem"])
async def test_a_delegation_is_of_and_for_the_named(bench: Bench, hop: str) -> None:
    agents = {name: agent() for name in ("one", "two", "three", "four")}
    outcome = succeeded(
        await bench.run(
            handshake(),
            handshake("one", "four"),
            step("a", "delegate", delegator="one", delegatee="three", via_peer="two", scope=[OTHER], ttl_secs=100),
            step("b", "delegate", delegator="one", delegatee="two", via_peer="four", scope=[OTHER, LOOK]),
            step("c", "redeem_delegation", delegatee="three", target="two", via_delegation="a"),
            step("d", "redeem_delegation", delegatee="two", target="four", via_delegation="b"),
            agents=agents,
        )
    )
    if hop == "delegate":
        first, second = outcome.of("delegation.issued")
        assert (first.get("agent_id"), first.get("target")) == ("one", "three")
        assert second.get("target") == "two"
        issuers = [established.get("jti") for established in outcome.of("trust.established")]
        assert [event.payload["parent_jti"] for event in (first, second)] == issuers, "via_peer says which voucher"
        assert (outcome.outputs["a"]["scope"], sorted(outcome.outputs["b"]["scope"])) == ([OTHER], [LOOK, OTHER])
        lives = [event.payload["delegation"]["claims"]["exp"] - event.ts for event in (first, second)]
        assert lives[0] <= 101 < lives[1]
        return
    assert outcome.outputs["c"]["grants"] == [OTHER]
    assert sorted(outcome.outputs["d"]["grants"]) == [LOOK, OTHER]
    redeemed = [(event.get("agent_id"), event.payload.get("delegatee")) for event in outcome.of("delegation.redeemed")]
    assert {("two", "three"), ("four", "two")} <= set(redeemed)
    assert outcome.outputs["c"]["peer_aid"] == aid_of(outcome, "two")
    assert outcome.outputs["d"]["peer_aid"] == aid_of(outcome, "four")


async def test_a_revocation_is_of_the_named_where_it_is_asked_for(bench: Bench) -> None:
    agents = {name: agent() for name in ("one", "two", "three")}
    outcome = succeeded(
        await bench.run(
            handshake(),
            handshake("three", "two"),
            step("local", "revoke_tct", issuer="two", audience="one", reason="it left"),
            probe("gone", expect_status=403),
            probe("stays", caller="three", expect_status=200),
            step("told", "revoke_tct", issuer="two", audience="three", via_cp=True, local=False, reason="it left too"),
            probe("by_list", caller="three", expect_status=403),
            agents=agents,
        )
    )
    [revoked] = outcome.of("tct.revoked", agent_id="two", step_id="local")
    assert (revoked.get("jti"), revoked.payload["reason"]) == (outcome.outputs["local"]["revoked_jti"], "it left")
    assert outcome.of("tct.revoked", step_id="told") == [], "with local: false the issuer itself revokes nothing"
    assert outcome.outputs["told"]["published_to_cp"] is True
    assert outcome.outputs["by_list"]["body"]["error"]["details"]["source"] == "cp-snapshot"
    written = await bench.at_cp("/api/audit?limit=200")
    assert "it left too" in str(written)
    assert "'it left'" not in str(written), "what is not via_cp is no business of the Control Plane"


async def test_a_renewal_is_by_the_named_for_the_time_asked_for(bench: Bench) -> None:
    agents = {"one": agent(), "two": agent(aitp={"ttl_secs": 3600}), "three": agent()}
    outcome = succeeded(
        await bench.run(
            handshake(),
            handshake("one", "three"),
            step("short", "renew_tct", agent="one", via_peer="two", new_ttl_secs=60),
            step("usual", "renew_tct", agent="one", via_peer="three"),
            step("long", "renew_tct", agent="one", via_peer="two", new_ttl_secs=86_400),
            agents=agents,
        )
    )
    told = outcome.outputs
    assert told["short"]["issuer"] == told["long"]["issuer"] == aid_of(outcome, "two")
    assert told["usual"]["issuer"] == aid_of(outcome, "three")
    assert {told[name]["subject"] for name in ("short", "usual", "long")} == {aid_of(outcome, "one")}
    renewed = {event.get("step_id"): event.ts for event in outcome.of("tct.renewed")}
    lives = {name: told[name]["expires_at"] - renewed[name] for name in renewed}
    assert lives["short"] <= 61 < 1000 < lives["usual"]
    # Above what the issuer's manifest and a TCT may live, the standard's bounds hold, not the scenario's wish.
    assert lives["usual"] - 60 < lives["long"] <= 3601


async def test_the_named_agents_key_is_changed_and_its_cache_counted(bench: Bench) -> None:
    outcome = succeeded(
        await bench.run(
            handshake(),
            handshake("two", "one"),
            probe("call", expect_status=200),
            step("stats_two", "tct_cache_stats", agent="two"),
            step("stats_one", "tct_cache_stats", agent="one"),
            step("rotate", "rotate_keys", agent="two"),
        )
    )
    assert outcome.outputs["stats_two"]["misses"] == 1
    assert outcome.outputs["stats_one"]["misses"] == 0
    assert outcome.outputs["rotate"]["old_aid"] == aid_of(outcome, "two")


async def test_a_session_is_of_the_named(bench: Bench) -> None:
    agents = {name: agent() for name in ("one", "two", "three", "four")}
    outcome = succeeded(
        await bench.run(
            handshake("two", "one"),
            handshake("three", "one"),
            handshake("four", "one"),
            step("all", "export_session_bundle", coordinator="one", participants=["two", "three", "four"]),
            step("some", "export_session_bundle", coordinator="one", participants=["two", "three"]),
            step("verify_some", "verify_session_bundle", verifier="two", via_step="some"),
            step("verify_all", "verify_session_bundle", verifier="four", via_step="all"),
            agents=agents,
        )
    )
    aids = {name: aid_of(outcome, name) for name in agents}
    assert set(outcome.outputs["verify_some"]["active_aids"]) >= {aids["two"], aids["three"]}
    assert aids["four"] not in outcome.outputs["verify_some"]["active_aids"]
    assert aids["four"] in outcome.outputs["verify_all"]["active_aids"]
    [first, second] = outcome.of("session.bundle.verified")
    assert (first.payload["verifier"], second.payload["verifier"]) == ("two", "four")
    outsider = await bench.run(
        handshake("two", "one"),
        step("some", "export_session_bundle", coordinator="one", participants=["two"]),
        step("verify", "verify_session_bundle", verifier="four", via_step="some"),
        agents=agents,
    )
    assert outsider.failed_step == "verify"


async def test_who_was_sent_away_from_a_session_hears_of_it_only_after_a_new_handshake(bench: Bench) -> None:
    agents = {name: agent() for name in ("one", "two", "three")}
    left = (
        handshake("two", "one"),
        handshake("three", "one"),
        step("made", "export_session_bundle", coordinator="one", participants=["two", "three"]),
        step("leave", "revoke_tct", issuer="one", audience="two"),
    )
    verify = step("verify", "verify_session_bundle", verifier="two", via_step="made")
    refused = await bench.run(*left, verify, agents=agents)
    assert refused.failed_step == "verify"
    assert "TCT_REVOKED" in str(refused.view.error)
    [denied] = refused.of("capability.denied", step_id="verify")
    assert (denied.get("agent_id"), denied.payload["code"]) == ("one", "tct_revoked")
    outcome = succeeded(await bench.run(*left, {**handshake("two", "one"), "id": "back"}, verify, agents=agents))
    assert outcome.outputs["verify"]["kind"] == "degraded"
    assert outcome.outputs["verify"]["dropped_aids"] == [aid_of(outcome, "two")]


async def test_a_token_is_renewed_for_no_longer_than_its_issuer_s_manifest_lives(bench: Bench) -> None:
    agents = {"one": agent(), "two": agent(aitp={"ttl_secs": 600})}
    longer = step("renew", "renew_tct", agent="one", via_peer="two", new_ttl_secs=86_400)
    outcome = succeeded(await bench.run(handshake(), longer, agents=agents))
    [renewed] = outcome.of("tct.renewal.issued")
    claims = renewed.payload["tct"]["claims"]
    assert claims["exp"] - claims["iat"] <= 600


# -- what every step has -----------------------------------------------------------------------------------------------


async def test_a_remark_is_told_when_its_step_begins_and_by_meta_when_it_is_passed(bench: Bench) -> None:
    outcome = succeeded(
        await bench.run(step("say", "meta", description="mind the gap"), {**look("one"), "description": "a mirror"})
    )
    told = {event.get("step_id"): event.payload.get("description") for event in outcome.of("step.started")}
    assert told["look_one"] == "a mirror"
    [skipped] = outcome.of("step.skipped")
    assert skipped.get("notes") == "mind the gap"


async def test_the_note_of_a_fault_is_told_with_it(bench: Bench) -> None:
    fault = {"kind": "peer_offline", "note": "the cable is cut"}
    outcome = succeeded(await bench.run(handshake(fault=fault)))
    [injected] = outcome.of("step.fault_injected")
    assert (injected.get("notes"), injected.payload["kind"]) == ("the cable is cut", "peer_offline")


@pytest.mark.parametrize("kind", ["manifest_404", "peer_offline"])
async def test_every_step_that_takes_a_fault_meets_it(bench: Bench, kind: str) -> None:
    fault = {"fault": {"kind": kind}}
    agents = {"one": agent(aitp={"offered_caps": [OTHER]}), "two": agent(), "three": agent()}
    outcome = succeeded(
        await bench.run(
            handshake(),
            step("work", "workflow", agent="one", capability=LOOK, **fault),
            probe("probe", **fault),
            step("bad", "delegate", delegator="one", delegatee="three", via_peer="two", scope=[OTHER], **fault),
            step("good", "delegate", delegator="one", delegatee="three", via_peer="two", scope=[OTHER]),
            step("redeem", "redeem_delegation", delegatee="three", target="two", via_delegation="good", **fault),
            handshake("two", "one", **fault),
            agents=agents,
        )
    )
    met = {event.get("step_id"): event.payload["kind"] for event in outcome.of("step.fault_complete")}
    assert met == dict.fromkeys(("work", "probe", "bad", "redeem", "two_one"), kind)


# -- the Control Plane -------------------------------------------------------------------------------------------------


async def test_what_is_provisioned_is_the_named_agents_in_the_named_place(bench: Bench) -> None:
    url = "https://anchors.example/"
    outcome = succeeded(
        await bench.run(
            step("usual", "cp_provision_trust_anchor", agent="one"),
            step("named", "cp_provision_trust_anchor", agent="two", namespace="elsewhere", issuer_url=url),
        )
    )
    usual, named = outcome.outputs["usual"], outcome.outputs["named"]
    assert (usual["namespace"], usual["trust_anchor"]) == ("fields", None)
    assert usual["pinned_key"]["aid"] == aid_of(outcome, "one")
    assert (named["namespace"], named["pinned_key"]["aid"]) == ("elsewhere", aid_of(outcome, "two"))
    assert named["trust_anchor"]["issuerUrl"] == url
    assert url in str(await bench.at_cp("/api/trust-anchors?namespace=elsewhere"))


async def test_what_is_subscribed_to_is_what_is_named(bench: Bench) -> None:
    outcome = succeeded(
        await bench.run(
            step("some", "cp_subscribe_webhook", events=["tct.revoked"]), step("all", "cp_subscribe_webhook")
        )
    )
    hooks = {hook["id"]: hook["events"] for hook in (await bench.at_cp("/api/webhooks"))["webhooks"]}
    assert hooks[outcome.outputs["some"]["webhook_id"]] == ["tct.revoked"]
    assert hooks[outcome.outputs["all"]["webhook_id"]] != ["tct.revoked"]


async def test_who_enrols_and_whose_delegations_are_walked_is_named(bench: Bench) -> None:
    agents = {name: agent() for name in ("one", "two", "three")}
    outcome = succeeded(
        await bench.run(
            step("enrol", "enroll_with_cp", agent="two"),
            handshake(),
            step("make", "delegate", delegator="one", delegatee="three", via_peer="two", scope=[LOOK]),
            step("its", "cp_delegation_tree", agent="one"),
            step("others", "cp_delegation_tree", agent="two"),
            agents=agents,
        )
    )
    assert outcome.outputs["enrol"]["aid"] == aid_of(outcome, "two")
    assert (outcome.outputs["its"]["count"], outcome.outputs["others"]["count"]) == (1, 0)
