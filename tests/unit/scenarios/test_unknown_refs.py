"""A ref that names no scenario is answered with what was probably meant, and with nothing that merely looks alike."""

from __future__ import annotations

import pytest

from aitp_playground.errors import ScenarioNotFound
from aitp_playground.scenarios.unknown_refs import unknown_ref

from .conftest import Tree

KNOWN = [
    "intra-org/trust-gate@1.0.0",
    "intra-org/revocation-via-cp@1.0.0",
    "intra-org/revocation-via-cp@1.1.0",
    "cross-org/federated-analysis@1.0.0",
    "cross-cloud/distributed-review@1.0.0",
]


@pytest.mark.parametrize(
    ("ref", "hint"),
    [
        ("intra-org/revocation-via-cp@9.9", "intra-org/revocation-via-cp has version 1.0.0, 1.1.0"),
        (
            "intra-org/revocation-via-cp",
            "say which version of it: intra-org/revocation-via-cp@1.0.0, intra-org/revocation-via-cp@1.1.0",
        ),
        ("intra-org/trust-gaet@1.0.0", "did you mean intra-org/trust-gate@1.0.0?"),
        ("intra-org/revocation-via-pc@1.0.0", "did you mean intra-org/revocation-via-cp@1.0.0?"),
        ("intra-org/revocation-via-pc@3", "did you mean intra-org/revocation-via-cp@1.1.0?"),
        ("intar-org/trust-gate@1.0.0", "did you mean intra-org/trust-gate@1.0.0?"),
        ("trust-gate", "did you mean intra-org/trust-gate@1.0.0?"),
        ("cross-org/quite-else@1.0.0", "the pack cross-org has cross-org/federated-analysis@1.0.0"),
        ("mine/hello@1.0.0", "GET /scenarios and aitp-playground list show what there is"),
        ("", "GET /scenarios and aitp-playground list show what there is"),
    ],
)
def test_a_ref_is_answered_with_what_was_meant(ref: str, hint: str) -> None:
    assert unknown_ref(ref, KNOWN).message == f"no scenario {ref!r}; {hint}"


def test_the_answer_is_bounded() -> None:
    known = [f"pack/one@{n}" for n in range(1000)]
    assert unknown_ref("pack/one@x", known).message.endswith(" and 988 more")
    assert len(unknown_ref("x" * 100_000, known).message) < 400


async def test_the_catalog_answers_so(tree: Tree) -> None:
    with pytest.raises(ScenarioNotFound, match=r"demo/hello has version 1\.0\.0"):
        await tree.catalog().scenario("demo/hello@2.0.0")
    with pytest.raises(ScenarioNotFound, match=r"did you mean demo/hello@1\.0\.0\?"):
        await tree.catalog().kept("demo/helo@1.0.0")
