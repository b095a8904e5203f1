"""The alerts and the dashboard in ``deploy/`` ask for what the service exposes, and do what the documentation says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from aitp_playground.api import metrics
from aitp_playground.config import Settings
from aitp_playground.observability.metrics import Metrics
from aitp_playground.steps import STEP_TYPES
from tests.support.promql import OF_TARGETS, UP, exposed, faults, parts
from tests.support.shown_commands import commands

from .test_docs_links import anchors
from .test_docs_pages import ROOT, rows

PROMETHEUS = ROOT / "deploy/prometheus"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/aitp-playground.json").read_text())
PREFIX = "aitp_playground_"

REGISTRY = Metrics(routes=[("GET", "/runs")], step_types=STEP_TYPES).registry
KNOWN = {**UP, **exposed(REGISTRY)}


def document(name: str) -> Any:
    return yaml.safe_load((PROMETHEUS / name).read_text())


ALERTS: list[dict[str, Any]] = [rule for group in document("alerts.yaml")["groups"] for rule in group["rules"]]
NAMES = [alert["alert"] for alert in ALERTS]


# -- alerts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_an_alert_asks_for_what_is_there(alert: dict[str, Any]) -> None:
    assert list(faults(alert["expr"], KNOWN)) == []


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_an_alert_waits_and_says_how_bad_it_is_and_what_to_do(alert: dict[str, Any]) -> None:
    assert re.fullmatch(r"[1-9]\d*m", alert["for"])
    assert alert["labels"].keys() == {"severity"}
    assert alert["labels"]["severity"] in {"warning", "critical"}
    assert alert["annotations"].keys() == {"summary", "description", "runbook"}
    assert all(text.endswith(".") for name, text in alert["annotations"].items() if name != "runbook")
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert anchor in anchors(page)
    told = {name for text in alert["annotations"].values() for name in re.findall(r"\b[A-Z]+_[A-Z_]+\b", text)}
    assert told <= {*(name.upper() for name in Settings.model_fields)}


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_what_an_alert_says_names_labels_that_it_has(alert: dict[str, Any]) -> None:
    selectors, _ = parts(alert["expr"])
    text = " ".join(alert["annotations"].values())
    if "absent(" in alert["expr"]:
        assert "$labels" not in text, "of what is not there the labels are not known"
    labels = {*OF_TARGETS, *(label for selector in selectors for label in KNOWN[selector.name])}
    assert set(re.findall(r"\$labels\.(\w+)", text)) <= labels


def test_every_alert_is_shown_to_fire_and_not_to() -> None:
    asserted = [one for test in document("alerts_test.yaml")["tests"] for one in test["alert_rule_test"]]
    assert {one["alertname"] for one in asserted if one["exp_alerts"]} == set(NAMES)
    assert {one["alertname"] for one in asserted if not one["exp_alerts"]} == set(NAMES)
    assert len(NAMES) == len(set(NAMES))


def test_the_series_of_the_tests_are_those_of_the_service() -> None:
    series = [one["series"] for test in document("alerts_test.yaml")["tests"] for one in test["input_series"]]
    assert [fault for one in series for fault in faults(one, KNOWN)] == []


def test_the_page_has_a_row_of_each_alert_in_their_order() -> None:
    told = [cells for cells in rows("observability.md") if cells[0].startswith("`AitpPlayground")]
    assert [cells[0].strip("`") for cells in told] == NAMES
    for (_, when, what), alert in zip(told, ALERTS, strict=True):
        assert when.endswith(f"({alert['labels']['severity']}, {alert['for']})")
        asked = {selector.name.removeprefix(PREFIX) for selector in parts(alert["expr"])[0]}
        assert asked == set(re.findall(r"`(\w+)`", when)) - {"dropped"}
        assert what


# -- the example configuration -----------------------------------------------------------------------------------------


def test_the_example_scrapes_a_route_that_exists_with_a_key_from_a_file() -> None:
    configuration = document("prometheus.yaml")
    [scraped] = configuration["scrape_configs"]
    assert scraped["metrics_path"] in {route.path for route in metrics.ROUTES}
    assert scraped["authorization"]["credentials_file"].startswith("/run/secrets/")
    assert all((PROMETHEUS / name).is_file() for name in configuration["rule_files"])
    jobs = {
        value
        for alert in ALERTS
        for selector in parts(alert["expr"])[0]
        for label, _, value in selector.matchers
        if label == "job"
    }
    assert jobs == {scraped["job_name"]}
    [target] = scraped["static_configs"][0]["targets"]
    assert target == f"{Settings.model_fields['host'].default}:{Settings.model_fields['port'].default}"


# -- promtool ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    return found


def succeeds(*command: str | Path, cwd: Path = PROMETHEUS) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_takes_the_rules(promtool: str) -> None:
    assert f"{len(ALERTS)} rules found" in succeeds(promtool, "check", "rules", "alerts.yaml")


@pytest.mark.parametrize("line", [line for line in commands("docs/observability.md") if line.startswith("promtool ")])
def test_promtool_does_what_the_page_shows(promtool: str, line: str) -> None:
    assert "SUCCESS" in succeeds(promtool, *line.split()[1:], cwd=ROOT)


def test_promtool_takes_the_configuration(promtool: str, tmp_path: Path) -> None:
    """As a whole, with a key where it says that there is one: promtool looks."""
    key = tmp_path / "key"
    key.write_text("secret")
    text = (PROMETHEUS / "prometheus.yaml").read_text()
    copy = tmp_path / "prometheus.yaml"
    copy.write_text(re.sub(r"(credentials_file:) \S+", rf"\1 {key}", text))
    shutil.copy(PROMETHEUS / "alerts.yaml", tmp_path)
    assert "SUCCESS" in succeeds(promtool, "check", "config", copy.name, cwd=tmp_path)


def test_promtool_understands_what_the_dashboard_asks_for(promtool: str, tmp_path: Path) -> None:
    recorded = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(map(plain, expressions()))]
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    assert f"{len(recorded)} rules found" in succeeds(promtool, "check", "rules", rules)


# -- the dashboard -----------------------------------------------------------------------------------------------------

PANELS: list[dict[str, Any]] = DASHBOARD["panels"]


def expressions() -> Iterator[str]:
    for panel in PANELS:
        yield from (target["expr"] for target in panel.get("targets", ()))


def plain(expression: str) -> str:
    """As Grafana sends it."""
    return expression.replace("$__rate_interval", "1m").replace("$job", "aitp-playground").replace("$instance", ".*")


def variables() -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_a_panel_asks_for_what_is_there_of_the_chosen_job_and_instances(expression: str) -> None:
    assert list(faults(expression, KNOWN)) == []
    for selector in parts(expression)[0]:
        chosen = {matcher for matcher in selector.matchers if matcher[0] in OF_TARGETS}
        assert chosen == {("job", "=~", "$job"), ("instance", "=~", "$instance")}


def test_a_rate_is_one_of_a_counter_and_of_nothing_else() -> None:
    counters = {f"{family.name}_total" for family in REGISTRY.collect() if family.type == "counter"}
    counters |= {f"{family.name}_bucket" for family in REGISTRY.collect() if family.type == "histogram"}
    asked = [*expressions(), *(alert["expr"] for alert in ALERTS)]
    rated = {name for text in asked for name in re.findall(r"(?:rate|increase)\((\w+)", text)}
    named = {selector.name for text in asked for selector in parts(text)[0]}
    assert rated <= counters
    assert named & counters <= rated


def test_every_metric_is_on_the_dashboard() -> None:
    asked = {selector.name for text in expressions() for selector in parts(text)[0]}
    families = {family.name: {sample.name for sample in family.samples} for family in REGISTRY.collect()}
    assert {name for name, samples in families.items() if not samples & asked} == set()


def test_no_label_is_shown_that_a_query_has_not() -> None:
    for panel in PANELS:
        for target in panel.get("targets", ()):
            selectors, grouped = parts(target["expr"])
            has = grouped if grouped or "sum" in target["expr"] else {*OF_TARGETS, *KNOWN[selectors[0].name]}
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= has, target


def test_panels_have_ids_of_their_own_and_lie_beside_each_other() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    taken: dict[tuple[int, int], str] = {}
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"], (panel["title"], taken[x, y])
    assert len(taken) == sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in PANELS)


def test_the_rows_are_those_that_the_page_tells_of() -> None:
    titles = [panel["title"] for panel in PANELS if panel["type"] == "row"]
    assert titles == ["Runs", "Agents", "Steps", "Store", "Control Plane", "HTTP", "Process"]
    assert f"(schema {DASHBOARD['schemaVersion']})" in (ROOT / "docs/observability.md").read_text()


def uids(part: Any) -> Iterator[Any]:
    if isinstance(part, dict):
        yield from (value for key, value in part.items() if key == "uid")
        part = list(part.values())
    if isinstance(part, list):
        for item in part:
            yield from uids(item)


def test_the_data_source_is_chosen_and_never_named() -> None:
    assert set(uids(DASHBOARD)) == {"${datasource}"}
    assert (variables()["datasource"]["type"], variables()["datasource"]["query"]) == ("datasource", "prometheus")
    assert DASHBOARD["id"] is None
    asking = [panel for panel in PANELS if panel["type"] != "row"]
    assert all(part["datasource"]["uid"] for panel in asking for part in (panel, *panel["targets"]))


def test_the_variables_are_filled_from_what_is_there_and_used() -> None:
    text = json.dumps(DASHBOARD)
    used = set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval"}
    assert used == variables().keys()
    for name in ("job", "instance"):
        asked = variables()[name]["query"]["query"]
        assert asked == variables()[name]["definition"]
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", asked)
        assert found is not None
        assert found[2] == name
        assert list(faults(found[1], KNOWN)) == []
