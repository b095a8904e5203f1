"""The bootstrap document is read strictly and keeps its secrets."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from base.process.bootstrap import parse_bootstrap, read_bootstrap
from base.process.sections import BootstrapError

SEED = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
OIDC = {
    "trusted": {"https://idp.example/": [{"kty": "OKP"}]},
    "issuer": "https://idp.example/",
    "subject": "svc",
    "token_url": "http://127.0.0.1:8000/internal/oidc-token",
    "token": "oidc-secret",
}


REVOCATION = {"fail_mode": "fail_open", "max_staleness_secs": 300, "poll_secs": 60}

LLM = {"provider": "openai", "api_key": "k", "base_url": "https://api.example", "model": "m", "timeout_secs": 30}


def document(**changes: Any) -> dict[str, Any]:
    return {
        "v": 1,
        "run_id": "run-1",
        "agent_id": "writer",
        "org": "internal",
        "seed": SEED,
        "signing_suite": "ed25519",
        "display_name": "Writer",
        "offered_caps": ["write.content"],
        "ttl_secs": 7200,
        "identity_type": "pinned_key",
        "oidc": None,
        "port": 8101,
        "base_url": "http://localhost:8101",
        "did_web_host": None,
        "boundary": "intra_org",
        "admin_token_sha256": "ab" * 32,
        "telemetry": {"url": "http://127.0.0.1:8000/internal/telemetry", "token": "telemetry-secret"},
        "cp": None,
        "revocation": REVOCATION,
        "llm": None,
    } | changes


def parse(**changes: Any) -> Any:
    return parse_bootstrap(json.dumps(document(**changes)).encode())


def test_documented_document_is_understood() -> None:
    bootstrap = parse(cp={"url": "http://cp.example/", "aid": None})
    assert bootstrap.seed == bytes(range(32))
    assert bootstrap.offered_caps == ("write.content",)
    assert (bootstrap.telemetry.token, bootstrap.cp.url) == ("telemetry-secret", "http://cp.example")


def test_what_a_revocation_section_leaves_out_is_what_refuses_most() -> None:
    revocation = parse().revocation
    assert (revocation.safe_caps, revocation.issuer_fail_mode) == (frozenset(), "fail_closed")
    told = REVOCATION | {"fail_mode": "soft_fail", "safe_caps": ["write.content"], "issuer_fail_mode": "fail_open"}
    revocation = parse(revocation=told).revocation
    assert (revocation.safe_caps, revocation.issuer_fail_mode) == ({"write.content"}, "fail_open")


def test_strangers_are_not_accepted_unless_the_document_says_so() -> None:
    assert parse().accept == "introduced"
    assert parse(accept="any-verified").accept == "any-verified"


def test_what_was_redeemed_is_not_delegated_on_unless_the_document_says_so() -> None:
    assert parse().redelegation == 0
    assert parse(redelegation=2).redelegation == 2


@pytest.mark.parametrize("key", [None, ""])
def test_a_model_may_need_no_key(key: str | None) -> None:
    assert parse(llm=LLM | {"api_key": key}).llm.api_key is None


@pytest.mark.parametrize("name", sorted(document()))
def test_every_key_is_required(name: str) -> None:
    given = document()
    del given[name]
    with pytest.raises(BootstrapError, match=f"^{name}: missing"):
        parse_bootstrap(json.dumps(given).encode())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": 1}, "colour: unknown key"),
        ({"v": 2}, "v: "),
        ({"accept": "anybody"}, "accept: not one of"),
        ({"accept": None}, "accept: not of type str"),
        ({"redelegation": 3}, "redelegation: not between 0 and 2"),
        ({"redelegation": -1}, "redelegation: not between 0 and 2"),
        ({"redelegation": True}, "redelegation: not of type int"),
        ({"seed": "short"}, "seed: "),
        ({"seed": "!" * 43}, "seed: not base64url"),
        ({"offered_caps": []}, "offered_caps"),
        ({"offered_caps": ["a", "a"]}, "offered_caps: a name appears twice"),
        ({"offered_caps": [" a"]}, "offered_caps"),
        ({"ttl_secs": 0}, "ttl_secs: not positive"),
        ({"ttl_secs": True}, "ttl_secs: not of type int"),
        ({"org": "elsewhere"}, "org: not one of internal, external"),
        ({"base_url": "localhost:1"}, "base_url: not an http"),
        ({"admin_token_sha256": "00"}, "admin_token_sha256"),
        ({"telemetry": {"url": "http://h/", "token": "t", "extra": 1}}, "telemetry.extra: unknown key"),
        ({"revocation": {"fail_mode": "never", "max_staleness_secs": 1, "poll_secs": 1}}, "revocation.fail_mode"),
        ({"revocation": {"fail_mode": "soft_fail", "max_staleness_secs": 1, "poll_secs": 1}}, "revocation.safe_caps"),
        ({"revocation": REVOCATION | {"fail_mode": "soft_fail", "safe_caps": []}}, "revocation.safe_caps"),
        ({"revocation": REVOCATION | {"safe_caps": ["a", "a"]}}, "revocation.safe_caps"),
        ({"revocation": REVOCATION | {"record_dir": "here"}}, "revocation.record_dir"),
        ({"revocation": REVOCATION | {"issuer_fail_mode": "soft_fail"}}, "revocation.issuer_fail_mode"),
        ({"llm": {"provider": "openai"}}, "llm.api_key: missing"),
        ({"llm": LLM | {"api_key": "a\nb"}}, "llm.api_key: not printable ASCII text"),
        ({"llm": LLM | {"api_key": "schlüssel"}}, "llm.api_key: not printable ASCII text"),
        ({"llm": LLM | {"base_url": "localhost:11434"}}, "llm.base_url: not an http"),
        ({"llm": LLM | {"timeout_secs": 0}}, "llm.timeout_secs: not positive"),
        ({"cp": {"url": "http://cp/", "aid": None, "api_key": "k"}}, "cp.api_key: unknown key"),
        ({"identity_type": "oidc"}, "oidc: an OIDC identity needs"),
        ({"identity_type": "oidc", "oidc": {"trusted": {}}}, "oidc: an OIDC identity needs"),
        ({"oidc": {"trusted": {}, "issuer": "https://i/"}}, "oidc.subject: missing"),
        ({"oidc": {"trusted": {"https://i/": "key"}}}, "oidc.trusted"),
    ],
)
def test_wrong_value_is_an_error_that_names_its_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BootstrapError, match=message):
        parse(**changes)


def test_secrets_appear_in_no_repr_and_no_error() -> None:
    llm = LLM | {"api_key": "model-secret"}
    text = repr(parse(llm=llm, identity_type="oidc", oidc=OIDC))
    secrets = ("telemetry-secret", "model-secret", "oidc-secret", "ab" * 32, SEED, repr(bytes(range(32))))
    for broken in (b'{"seed": "' + SEED.encode(), json.dumps(document(seed=SEED * 2)).encode()):
        with pytest.raises(BootstrapError) as caught:
            parse_bootstrap(broken)
        assert caught.value.__cause__ is None
        text += str(caught.value)
    assert not [secret for secret in secrets if secret in text]


def test_descriptor_is_closed_after_reading() -> None:
    read, write = os.pipe()
    os.write(write, json.dumps(document()).encode())
    os.close(write)
    assert read_bootstrap(read).agent_id == "writer"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(read)
