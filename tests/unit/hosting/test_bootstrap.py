"""The service writes what the worker reads."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import orjson

from aitp_playground.hosting.bootstrap import (
    Bootstrap,
    ControlPlane,
    LanguageModel,
    Revocation,
    Telemetry,
    base64url,
    mint_token,
)
from base.process.bootstrap import parse_bootstrap

PLAIN = Bootstrap(
    run_id="run",
    agent_id="writer",
    org="internal",
    seed=bytes(range(32)),
    signing_suite="ed25519",
    display_name="Content Writer",
    offered_caps=("write.content",),
    ttl_secs=7200,
    port=8101,
    base_url="http://localhost:8101",
    boundary="intra_org",
    admin_token="admin-token-of-the-writer",
    telemetry=Telemetry(url="http://127.0.0.1:8000/internal/telemetry", token="telemetry-token-of-the-writer"),
)
FULL = replace(
    PLAIN,
    did_web_host="localhost",
    oidc={"trusted": {}},
    cp=ControlPlane(url="http://127.0.0.1:9000", aid="aid:pubkey:cp"),
    revocation=Revocation(
        fail_mode="soft_fail", safe_caps=("write.content",), issuer_fail_mode="fail_open", max_staleness_secs=30
    ),
    llm=LanguageModel(
        provider="openai", api_key="model-key", base_url="https://models.example/v1", model="small", timeout_secs=30
    ),
)


def test_a_worker_understands_the_document() -> None:
    read = parse_bootstrap(FULL.encode())
    assert (read.agent_id, read.seed, read.offered_caps) == ("writer", FULL.seed, ("write.content",))
    assert read.telemetry.token == FULL.telemetry.token
    assert (read.revocation.fail_mode, read.revocation.safe_caps) == ("soft_fail", {"write.content"})
    assert (read.revocation.issuer_fail_mode, read.revocation.max_staleness_secs) == ("fail_open", 30)
    assert read.llm is not None
    assert read.llm.api_key == "model-key"
    assert read.cp is not None
    assert read.cp.aid == "aid:pubkey:cp"


def test_what_is_not_set_is_null() -> None:
    document = orjson.loads(PLAIN.encode())
    assert [document[name] for name in ("oidc", "did_web_host", "cp", "llm")] == [None] * 4
    assert parse_bootstrap(PLAIN.encode()).llm is None


def test_the_admin_token_is_there_as_its_hash_only() -> None:
    assert PLAIN.admin_token.encode() not in PLAIN.encode()
    assert hashlib.sha256(PLAIN.admin_token.encode()).hexdigest().encode() in PLAIN.encode()


def test_no_secret_is_in_the_repr_and_all_are_listed() -> None:
    listed = FULL.secrets()
    assert {FULL.admin_token, FULL.telemetry.token, "model-key", base64url(FULL.seed), FULL.seed.hex()} <= set(listed)
    assert not any(secret in repr(FULL) for secret in listed)
    assert repr(FULL.seed) not in repr(FULL)


def test_tokens_are_long_and_never_the_same() -> None:
    tokens = {mint_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 43
