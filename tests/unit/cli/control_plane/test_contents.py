"""What is told of rows that lack something, or hold something else than they should."""

from __future__ import annotations

from typing import Any

import pytest

from aitp_playground.cli.control_plane.contents import Contents, content_lines

JTI = "9a12be2d-0e1c-4953-8351-17ed8c8406f8"
ROWS: dict[str, dict[str, Any]] = {
    "registered": {"aid": "A"},
    "pinned": {"aid": "A", "namespace": "n"},
    "sessions": {"aidA": "A", "aidB": "B", "status": "complete"},
    "tcts": {"jti": JTI, "issuer": "A", "subject": "B", "grants": ["g"], "revoked": False},
    "delegations": {"jti": JTI, "parentJti": "p", "delegator": "A", "delegatee": "B", "scope": ["g"]},
    "revocations": {"jti": JTI, "reason": "lost"},
}
FIELDS = [(table, field) for table, row in ROWS.items() for field in row]


def lines(**tables: list[dict[str, Any]]) -> list[str]:
    rows = {table: [row] for table, row in ROWS.items()} | tables
    seen = Contents(run_id="r", ref="p/s@1.0.0", arrived=True, names={"A": "one"}, events=1, deliveries=[], **rows)
    return list(content_lines([seen]))


def test_a_revocation_without_a_reason_is_told_without_one() -> None:
    assert f"    {JTI}: lost" in lines()
    assert f"    {JTI}" in lines(revocations=[{"jti": JTI, "reason": None}])
    assert f"    {JTI}: not\\x1b[2Jhere" in lines(revocations=[{"jti": JTI, "reason": "not\x1b[2Jhere"}])


@pytest.mark.parametrize("odd", [None, 7, "text", [], ["x", 7, None], {}, {"a": []}, True], ids=str)
@pytest.mark.parametrize(("table", "field"), FIELDS)
def test_a_row_with_a_field_of_another_kind_is_told_all_the_same(table: str, field: str, odd: Any) -> None:
    assert len(lines(**{table: [{**ROWS[table], field: odd}]})) >= 7


@pytest.mark.parametrize(("table", "field"), FIELDS)
def test_a_row_without_a_field_is_told_all_the_same(table: str, field: str) -> None:
    row = dict(ROWS[table])
    del row[field]
    assert len(lines(**{table: [row, row]})) >= 7


def test_delegations_that_name_each_other_are_told_once_at_most() -> None:
    one = {**ROWS["delegations"], "jti": "1", "parentJti": "p"}
    again = {**ROWS["delegations"], "jti": "1", "parentJti": "1"}
    circle = [{**ROWS["delegations"], "jti": jti, "parentJti": up} for jti, up in (("2", "3"), ("3", "2"))]
    told = [line for line in lines(delegations=[one, again, *circle]) if "one to B: g" in line]
    assert len(told) <= 4
