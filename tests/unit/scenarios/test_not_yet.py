"""What a file can say and nothing heeds is refused where it is used, and only there."""

from __future__ import annotations

import pytest

from .conftest import GREETER, HELLO, Tree

MANIFEST = "_shared/agents/greeter.yaml"
OIDC = "identity_type: oidc\n    oidc_issuer: https://idp.example/\n    oidc_subject: greeter\n    offered_caps"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("offered_caps", OIDC, "has an oidc identity"),
        ("  aitp:", "  did_web: true\n  aitp:", "did_web_host"),
    ],
)
def test_a_manifest_that_promises_what_is_not_done_is_refused_in_use(tree: Tree, old: str, new: str, said: str) -> None:
    tree.write("_shared/agents/spare.yaml", GREETER.replace("id: greeter", "id: spare").replace(old, new, 1))
    assert tree.lint() == []
    tree.edit(old, new, MANIFEST)
    found = tree.lint()
    assert {(finding.level, finding.file, finding.field) for finding in found} == {
        ("error", HELLO, "spec.agents.0.ref"),
        ("error", HELLO, "spec.agents.1.ref"),
    }
    assert all(said in finding.message for finding in found)


@pytest.mark.parametrize("types", ["[oidc]", "[oidc, pinned_key]"])
def test_identity_types_that_nothing_heeds_are_refused(tree: Tree, types: str) -> None:
    tree.edit("  agents:", f"  aitp:\n    accepted_identity_types: {types}\n  agents:")
    (finding,) = tree.lint()
    assert (finding.level, finding.file, finding.field) == ("error", HELLO, "spec.aitp.accepted_identity_types")
    assert "[pinned_key]" in finding.message


def test_what_holds_anyway_may_be_said(tree: Tree) -> None:
    tree.edit("  agents:", "  aitp:\n    accepted_identity_types: [pinned_key]\n  agents:")
    tree.edit("      port_offset: 1", "      port_offset: 1\n      did_web_host: localhost:8101")
    assert tree.lint() == []
