"""What files say of identities: an issuer as agents compare it, and where a did:web is."""

from __future__ import annotations

import pytest

from aitp_playground.runs.conducting.agent_launch import accepted_identity_types, issuers_of

from .conftest import HELLO, Tree

MANIFEST = "_shared/agents/greeter.yaml"
REF = "demo/hello@1.0.0"


def with_oidc(tree: Tree, issuer: str = "https://idp.example/", subject: str = "greeter") -> None:
    told = f"identity_type: oidc\n    oidc_issuer: {issuer}\n    oidc_subject: {subject}\n    offered_caps"
    tree.edit("offered_caps", told, MANIFEST)


@pytest.mark.parametrize("issuer", ["https://idp.example", "https://IDP.example:443/", "https://idp.example/"])
async def test_issuer_is_kept_as_it_is_compared(tree: Tree, issuer: str) -> None:
    with_oidc(tree, issuer)
    assert tree.lint() == []
    resolved = await tree.catalog().resolve(REF)
    assert list(issuers_of(resolved)) == ["https://idp.example/"]
    assert accepted_identity_types(resolved) == ("oidc",)


@pytest.mark.parametrize("issuer", ["http://idp.example/", "idp.example", "https://", "ftp://idp.example/"])
def test_issuer_that_is_no_https_url_is_refused(tree: Tree, issuer: str) -> None:
    with_oidc(tree, issuer)
    assert any("not an https URL" in finding.message for finding in tree.lint())


@pytest.mark.parametrize("character", ["\\x01", "\\t", "\\n", "\\x7f"])
@pytest.mark.parametrize("place", ["{}https://idp.example/", "https://idp{}.example/", "https://idp.example/{}"])
def test_issuer_with_a_control_character_is_refused(tree: Tree, place: str, character: str) -> None:
    with_oidc(tree, '"' + place.format(character) + '"')
    assert any("no control characters" in finding.message for finding in tree.lint())


def test_what_is_said_of_an_issuer_without_having_one_is_refused(tree: Tree) -> None:
    tree.edit("offered_caps", "oidc_issuer: https://idp.example/\n    offered_caps", MANIFEST)
    assert any("go with identity_type oidc" in finding.message for finding in tree.lint())


@pytest.mark.parametrize(("types", "expected"), [("[oidc]", ("oidc",)), ("[pinned_key, oidc]", ("pinned_key", "oidc"))])
async def test_accepted_types_are_what_the_scenario_says(tree: Tree, types: str, expected: tuple[str, ...]) -> None:
    assert accepted_identity_types(await tree.catalog().resolve(REF)) == ("pinned_key",)
    tree.edit("  agents:", f"  aitp:\n    accepted_identity_types: {types}\n  agents:", HELLO)
    assert tree.lint() == []
    assert accepted_identity_types(await tree.catalog().resolve(REF)) == expected


async def test_did_web_is_on_this_machine_unless_the_scenario_says_where(tree: Tree) -> None:
    resolved = await tree.catalog().resolve(REF)
    assert [resolved.did_web_host(agent) for agent in resolved.scenario.spec.agents] == [None, None]
    tree.edit("  aitp:", "  did_web: true\n  aitp:", MANIFEST)
    tree.edit("      port_offset: 1", "      port_offset: 1\n      did_web_host: agents.example", HELLO)
    resolved = await tree.catalog().resolve(REF)
    assert [resolved.did_web_host(agent) for agent in resolved.scenario.spec.agents] == ["localhost", "agents.example"]
