"""The reader of expressions finds what is misspelt, and nothing else."""

from __future__ import annotations

import pytest

from aitp_playground.observability.metrics import Metrics
from tests.support.promql import UP, Selector, exposed, faults, parts

KNOWN = {**UP, **exposed(Metrics(routes=[("GET", "/runs")], step_types=["workflow"]).registry)}

LAUNCHES = "aitp_playground_agent_launches_total"
SOUND = [
    "up",
    'up{job="anything"} == 0 or absent(up{job="anything"})',
    f'increase({LAUNCHES}{{result="failed"}}[15m]) / ignoring (result) sum without (result) ({LAUNCHES}) > 0.1',
    f'sum by (job, result) (rate({LAUNCHES}{{job=~"$job", result!~"re.dy"}}[$__rate_interval])) > bool 1e3',
    "histogram_quantile(0.95, sum by (le) (rate(aitp_playground_run_duration_seconds_bucket[5m] offset 1h)))",
    'aitp_playground_http_requests_total{method="GET",route="/runs",status_class="2xx"}',
    "time() - process_start_time_seconds",
    "aitp_playground_runs_pending / on (instance) aitp_playground_runs_pending_limit unless up",
]
MISSPELT = [
    ("aitp_playground_run_total", "no metric aitp_playground_run_total"),
    ("rate(aitp_playground_runs_started[5m])", "no metric aitp_playground_runs_started"),
    (f'{LAUNCHES}{{outcome="failed"}}', f"{LAUNCHES} has no label outcome"),
    (f'{LAUNCHES}{{result="fail"}}', f"{LAUNCHES} has no result fail"),
    (f'{LAUNCHES}{{result!="canceled"}}', f"{LAUNCHES} has no result canceled"),
    (f'{LAUNCHES}{{result=~"fail|canceled"}}', f"{LAUNCHES} has no result fail|canceled"),
    (f"sum by (reason) ({LAUNCHES})", "no label reason to group by"),
    ("sum by (le) (aitp_playground_runs_pending)", "no label le to group by"),
    ('up{result="failed"}', "up has no label result"),
    ("1 + 1", "no metric"),
    ("time()", "no metric"),
]


@pytest.mark.parametrize("expression", SOUND)
def test_a_sound_expression_has_no_fault(expression: str) -> None:
    assert list(faults(expression, KNOWN)) == []


@pytest.mark.parametrize(("expression", "fault"), MISSPELT)
def test_what_is_misspelt_is_named(expression: str, fault: str) -> None:
    assert list(faults(expression, KNOWN)) == [fault]


def test_selectors_are_read_whatever_their_values_hold() -> None:
    [one], grouped = parts(r'sum(up{ job = "a}b, {c=\"d\"", instance!~"x" }) by (job)')
    assert one == Selector("up", (("job", "=", r"a}b, {c=\"d\""), ("instance", "!~", "x")))
    assert grouped == {"job"}


@pytest.mark.parametrize("expression", ['{job="a"}', "up{job}", "up{job='a'}"])
def test_what_is_not_understood_is_no_silence(expression: str) -> None:
    with pytest.raises(ValueError, match=r"understood|without a name"):
        parts(expression)
