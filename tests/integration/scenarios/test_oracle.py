"""Whatever any shipped scenario produces, an implementation that shares no code with the agents' verifies; it judges
every call, redemption and handshake as they did, and the log tells of the same."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.server import control_plane
from tests.integration.scenarios.test_proofs import PROOFS, WITH_CP
from tests.support.controls import Control
from tests.support.oracle import Document, Oracle
from tests.support.playground import Outcome
from tests.support.tapped import Tapped, judged, tapped

pytestmark = pytest.mark.asyncio(loop_scope="module")

ON_THEIR_OWN = [*PROOFS, *((ref, None) for ref in sorted(WITH_CP))]


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
EXCHANGE = MESSAGES | {"manifest", "tct", "voucher", "list", "greeting granted", "commit granted", "handshake granted"}
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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alone(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tapped]:
    async with tapped(tmp_path_factory.mktemp("alone"), KNOWN_BY_AN_ISSUER) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def with_cp(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tapped]:
    async with control_plane(Options(time_scale=0.01, api_keys=("oracle-key",))) as cp:
        given = {"cp_base_url": cp.url, "cp_api_key": cp.key, "cp_aid": cp.aid}
        async with tapped(
            tmp_path_factory.mktemp("with-cp"), KNOWN_BY_AN_ISSUER, frozenset({cp.aid}), **given
        ) as found:
            yield found


@pytest.mark.parametrize(("ref", "template"), ON_THEIR_OWN)
async def test_what_a_scenario_produces_is_what_the_standard_says(
    alone: Tapped, ref: str, template: str | None
) -> None:
    outcome, messages = await alone.run(ref, template)
    assert outcome.status == "success", outcome.view.error
    judged_as_shipped(outcome, messages, ref)


@pytest.mark.parametrize("ref", sorted(WITH_CP))
async def test_what_a_scenario_produces_beside_a_control_plane_is_what_the_standard_says(
    with_cp: Tapped, ref: str
) -> None:
    outcome, messages = await with_cp.run(ref)
    assert outcome.status == "success", outcome.view.error
    oracle = judged_as_shipped(outcome, messages, ref, with_cp.outside)
    if "revocation-via-cp" in ref:
        assert oracle.seen["call refused"] == 1


@pytest.mark.parametrize("control", KNOWN_BY_AN_ISSUER, ids=lambda control: control.name.rpartition(" ")[2])
async def test_an_issuer_vouches_for_the_new_key_of_an_agent(alone: Tapped, control: Control) -> None:
    outcome, messages = await alone.run(alone.refs[control.name])
    assert (outcome.status, outcome.view.proof) == ("success", "proven"), outcome.view.error
    oracle = judged_as_shipped(outcome, messages, control.ref)
    assert oracle.seen["id_token"] == 4, "one for each of its four greetings"


def judged_as_shipped(
    outcome: Outcome, messages: list[Document], ref: str, outside: frozenset[str] = frozenset()
) -> Oracle:
    oracle = judged(outcome, messages, outside)
    assert oracle.seen["cut off"] == 0
    if ref not in ALONE:
        expected = EXCHANGE | ALSO.get(ref, set())
        assert expected <= oracle.seen.keys(), expected - oracle.seen.keys()
    return oracle
