"""What follows from a peer's manifest: where its messages go, whether to greet it at all, which of two counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from base.protocol.manifests import Manifest, base_of

PLAIN = Manifest("{}", "http://h/shake", ("a.b", "a.c"), 1000, ("pinned_key",), ())


@pytest.mark.parametrize(
    ("endpoint", "hello", "commit"),
    [
        ("http://h/shake", "http://h/shake", "http://h/shake"),
        ("http://h:1/a/b?x=1", "http://h:1/a/b?x=1", "http://h:1/a/b?x=1"),
        ("http://h", "http://h", "http://h"),
        ("http://h/", "http://h/hello", "http://h/commit"),
        ("http://h/aitp/handshake/", "http://h/aitp/handshake/hello", "http://h/aitp/handshake/commit"),
        ("http://h/aitp/handshake/hello", "http://h/aitp/handshake/hello", "http://h/aitp/handshake/commit"),
        ("http://h/sayhello", "http://h/sayhello", "http://h/sayhello"),
    ],
)
def test_where_the_messages_go(endpoint: str, hello: str, commit: str) -> None:
    assert replace(PLAIN, endpoint=endpoint).exchange_urls() == (hello, commit)


@pytest.mark.parametrize(
    ("accepted", "suites", "identity_type", "suite", "code"),
    [
        (("pinned_key",), (), "pinned_key", "ed25519", None),
        (("oidc",), (), "pinned_key", "ed25519", "INCOMPATIBLE_IDENTITY_TYPE"),
        ((), (), "pinned_key", "ed25519", "INCOMPATIBLE_IDENTITY_TYPE"),
        (("oidc", "pinned_key"), ("EdDSA",), "pinned_key", "ed25519", None),
        (("pinned_key",), ("ES256",), "pinned_key", "ed25519", "TOKEN_ALG_MISMATCH"),
        (("pinned_key",), ("ES256", "EdDSA"), "pinned_key", "p256", None),
        (("pinned_key",), ("EdDSA",), "pinned_key", "p256", "TOKEN_ALG_MISMATCH"),
    ],
)
def test_whether_a_handshake_can_succeed(
    accepted: tuple[str, ...],
    suites: tuple[str, ...],
    identity_type: str,
    suite: Literal["ed25519", "p256"],
    code: str | None,
) -> None:
    assert replace(PLAIN, identity_types=accepted, suites=suites).unwilling(identity_type, suite) == code


def test_the_manifest_published_later_counts() -> None:
    newer = PLAIN.or_newer({"published_at": 1001, "offered_capabilities": ["a.b"]})
    assert (newer.offered, newer.published_at, newer.endpoint) == (("a.b",), 1001, PLAIN.endpoint)
    assert PLAIN.or_newer({"published_at": 999, "offered_capabilities": ["a.b", "a.c", "a.d"]}) is PLAIN
    same = PLAIN.or_newer({"published_at": 1000, "offered_capabilities": ["a.b", "a.c"]})
    assert same == PLAIN


@pytest.mark.parametrize("path", ["/aitp/handshake", "/aitp/handshake/", "/aitp/handshake/hello"])
def test_where_the_other_routes_of_such_an_agent_are(path: str) -> None:
    assert base_of("http://h:1/below" + path) == "http://h:1/below"


def test_elsewhere_they_are_at_the_root() -> None:
    assert base_of("http://h:1/some/where") == "http://h:1"
