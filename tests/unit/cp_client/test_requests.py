"""What goes out: addresses, queries, encodings; and the envelopes that come back."""

from __future__ import annotations

from typing import Any

import pytest

from aitp_playground.config import Settings
from aitp_playground.cp_client import CpClient
from aitp_playground.errors import ConfigurationError

from .conftest import MakeClient
from .operations import BY_NAME, OPERATIONS, Operation
from .rogue import Rogue, says

LISTS = [one for one in OPERATIONS if isinstance(one.value, list) and one.name != "fetch_revocation_list"]


@pytest.mark.parametrize("suffix", ["", "/", "//", "/api", "/api/", "/prefix/api/", "/prefix"])
async def test_the_base_url_may_end_as_people_write_it(suffix: str, rogue: Rogue, make_client: MakeClient) -> None:
    await make_client(rogue.url + suffix).fetch_tcts()
    prefix = "/prefix" if "prefix" in suffix else ""
    assert rogue.asked == [f"GET {prefix}/api/tcts"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("cp_base_url", "http://user:pass@localhost"),
        ("cp_base_url", "http://localhost/?key=1"),
        ("cp_base_url", "http://localhost/#top"),
        ("cp_api_key", "two\nlines"),
        ("cp_api_key", "schlüssel"),
        ("cp_aid", "aid:pubkey:short"),
    ],
)
async def test_settings_that_cannot_work_are_refused_by_name_and_not_shown(
    variable: str, value: str, make_client: MakeClient
) -> None:
    given = {"cp_base_url": "http://localhost", variable: value}
    with pytest.raises(ConfigurationError, match=variable.upper()) as refused:
        make_client(given.pop("cp_base_url"), **given)
    assert value not in str(refused.value)


async def test_without_a_key_no_authorization_is_sent(rogue: Rogue, make_client: MakeClient) -> None:
    await make_client(rogue.url, cp_api_key=" ").fetch_tcts()
    assert "Authorization" not in rogue.seen[0].headers


async def test_a_key_is_sent_without_the_newline_of_the_file_it_came_from(
    rogue: Rogue, make_client: MakeClient
) -> None:
    await make_client(rogue.url, cp_api_key="sesame\n").fetch_tcts()
    assert rogue.seen[0].headers["Authorization"] == "Bearer sesame"


QUERIES: list[tuple[str, tuple[Any, ...], dict[str, Any], str, dict[str, str]]] = [
    ("discover_by_capability", ("a b+c&d=e/é",), {}, "/api/registry/agents", {"capability": "a b+c&d=e/é"}),
    (
        "discover_by_capability",
        ("demo.echo",),
        {"include_manifest": True, "limit": 5},
        "/api/registry/agents",
        {"capability": "demo.echo", "include_manifest": "true", "limit": "5"},
    ),
    (
        "fetch_tcts",
        (),
        {
            "issuer": "aid:pubkey:i",
            "subject": "s",
            "audience": "a",
            "capability": "demo.echo",
            "session_id": "x/y",
            "active": True,
            "limit": 7,
        },
        "/api/tcts",
        {
            "issuer": "aid:pubkey:i",
            "subject": "s",
            "audience": "a",
            "capability": "demo.echo",
            "sessionId": "x/y",
            "active": "true",
            "limit": "7",
        },
    ),
    ("fetch_tcts", (), {"issuer": "", "active": False}, "/api/tcts", {}),
    (
        "fetch_events_history",
        (),
        {
            "event_type": "t",
            "aid": "a",
            "session_id": "s",
            "run_id": "r",
            "since": 0.5,
            "until": "2026-11-22 15:48:38.796+00",
            "limit": 3,
            "offset": 0,
        },
        "/api/events/history",
        {
            "type": "t",
            "aid": "a",
            "sessionId": "s",
            "runId": "r",
            "since": "1970-01-01T00:00:00.500Z",
            "until": "2026-11-22 15:48:38.796+00",
            "limit": "3",
            "offset": "0",
        },
    ),
    (
        "fetch_sessions",
        (),
        {"status": "complete", "run_id": "r", "aid": "a", "limit": 3},
        "/api/sessions",
        {"status": "complete", "runId": "r", "aid": "a"},
    ),
    (
        "fetch_delegations",
        (),
        {"root_jti": "r", "parent_jti": "p", "delegator": "d", "delegatee": "e", "active": True, "limit": 3},
        "/api/delegations",
        {"root_jti": "r", "parent_jti": "p", "delegator": "d", "delegatee": "e", "active": "true", "limit": "3"},
    ),
    (
        "replay_session",
        ("a/b c?#é%2F",),
        {"limit": 3},
        "/api/sessions/a%2Fb%20c%3F%23%C3%A9%252F/replay",
        {"limit": "3"},
    ),
    ("fetch_dashboard_overview", ("7d",), {}, "/api/dashboard/overview", {"range": "7d"}),
    ("fetch_dashboard_overview", (), {}, "/api/dashboard/overview", {"range": "24h"}),
    ("fetch_dashboard_agents", (), {}, "/api/dashboard/agents", {}),
    ("list_trust_anchors", ("a pack",), {}, "/api/trust-anchors", {"namespace": "a pack"}),
    ("list_trust_anchors", (), {}, "/api/trust-anchors", {}),
    ("list_pinned_keys", ("ns",), {}, "/api/pinned-keys", {"namespace": "ns"}),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "path", "query"), QUERIES)
async def test_filters_reach_the_wire_as_the_control_plane_spells_them(
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    path: str,
    query: dict[str, str],
    rogue: Rogue,
    make_client: MakeClient,
) -> None:
    await getattr(make_client(rogue.url), name)(*args, **kwargs)
    assert rogue.asked == [f"GET {path}"]
    assert rogue.seen[0].query == query


async def test_a_plus_in_a_time_is_percent_encoded(rogue: Rogue, make_client: MakeClient) -> None:
    await make_client(rogue.url).fetch_events_history(since="2026-11-22 15:48:38+00")
    assert rogue.seen[0].raw_path.endswith("38%2B00")


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("discover_by_capability", ("",)),
        ("discover_by_capability", ("\ud800",)),
        ("replay_session", ("",)),
        ("replay_session", ("..",)),
        ("replay_session", ("\ud800",)),
        ("delete_webhook", ("..",)),
        ("create_webhook", ("http://h", [], "")),
        ("create_webhook", ("http://h", [], "s" * 256)),
        ("create_webhook", ("http://h", ["\ud800"], "s")),
        ("ingest_events", ([{"type": "\ud800"}],)),
        ("upsert_trust_anchor", ("ftp://idp",)),
        ("upsert_trust_anchor", ("idp.example",)),
    ],
)
async def test_what_no_control_plane_takes_well_is_not_sent(
    name: str, args: tuple[Any, ...], rogue: Rogue, make_client: MakeClient
) -> None:
    outcome = await getattr(make_client(rogue.url), name).outcome(*args)
    assert (outcome.reason, bool(outcome.detail), rogue.asked) == ("bad_shape", True, [])


@pytest.mark.parametrize("moment", [float("nan"), float("inf"), 1e18])
async def test_a_number_that_is_no_time_is_not_sent(moment: float, rogue: Rogue, make_client: MakeClient) -> None:
    outcome = await make_client(rogue.url).fetch_events_history.outcome(since=moment)
    assert (outcome.reason, rogue.asked) == ("bad_shape", [])


@pytest.mark.parametrize("operation", LISTS, ids=lambda one: one.name)
@pytest.mark.parametrize("envelope", [lambda rows: {"items": rows}, lambda rows: {"events": rows}, lambda rows: rows])
async def test_every_list_is_found_in_every_envelope(
    operation: Operation, envelope: Any, rogue: Rogue, make_client: MakeClient
) -> None:
    rogue.behaviour = says(envelope([{"id": "2"}]))
    assert await operation.plain(make_client(rogue.url)) == [{"id": "2"}]


async def test_the_control_planes_own_key_wins_over_the_general_ones(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = says({"items": [{"id": "no"}], "tcts": [{"id": "yes"}]})
    assert await make_client(rogue.url).fetch_tcts() == [{"id": "yes"}]


@pytest.mark.parametrize("answer", [{"tcts": None}, {"tcts": {}}, {"other": []}, [1], {"tcts": [{}, None]}, "x", None])
async def test_a_list_that_is_none_is_of_bad_shape(answer: Any, rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = says(answer)
    assert (await make_client(rogue.url).fetch_tcts.outcome()).reason == "bad_shape"


@pytest.mark.parametrize(
    "name", ["create_webhook", "publish_revocation", "upsert_pinned_key", "fetch_dashboard_overview"]
)
async def test_a_list_where_an_object_belongs_is_of_bad_shape(name: str, rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = says([])
    outcome = await BY_NAME[name].outcome(make_client(rogue.url))
    assert (outcome.value, outcome.reason) == (BY_NAME[name].fallback, "bad_shape")


async def test_sessions_are_cut_here_because_the_route_knows_no_limit(rogue: Rogue, make_client: MakeClient) -> None:
    rogue.behaviour = says({"sessions": [{"n": n} for n in range(5)]})
    assert await make_client(rogue.url).fetch_sessions(limit=2) == [{"n": 0}, {"n": 1}]


async def test_filters_that_the_route_forgets_beside_a_root_are_applied_here(
    rogue: Rogue, make_client: MakeClient
) -> None:
    rows = [
        {"jti": "gone", "delegator": "d", "expiresAt": "2020-01-01 00:00:00+00", "revoked": False},
        {"jti": "revoked", "delegator": "d", "expiresAt": None, "revoked": True},
        {"jti": "odd", "delegator": "d", "expiresAt": "whenever", "revoked": False},
        {"jti": "other", "delegator": "e", "expiresAt": None, "revoked": False},
        {"jti": "one", "delegator": "d", "expiresAt": None, "revoked": False},
        {"jti": "two", "delegator": "d", "expiresAt": "2999-01-01 00:00:00+00", "revoked": False},
    ]
    rogue.behaviour = says({"delegations": rows})
    client = make_client(rogue.url)

    async def found(**filters: Any) -> list[Any]:
        return [row["jti"] for row in await client.fetch_delegations(root_jti="r", delegator="d", **filters)]

    assert await found() == ["gone", "revoked", "odd", "one", "two"]
    assert await found(active=True) == ["one", "two"]
    assert await found(active=True, limit=1) == ["one"]
    assert await found(active=True, limit=1, offset=1) == ["two"]
    assert len(await client.fetch_delegations(delegator="d")) == len(rows)


async def test_a_misspelt_argument_is_a_fault_of_the_caller(rogue: Rogue, make_client: MakeClient) -> None:
    """The Control Plane would answer an unknown filter with everything."""
    with pytest.raises(TypeError):
        await make_client(rogue.url).fetch_tcts(sessionid="x")  # type: ignore[call-arg]


def test_methods_keep_their_documentation() -> None:
    assert "newest first" in (CpClient.fetch_tcts.__doc__ or "")
    assert Settings.model_fields["cp_timeout_ms"].default == 5000
