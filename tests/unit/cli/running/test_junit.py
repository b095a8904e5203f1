"""What a report makes of a run's document."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

from aitp_playground.cli.running.junit import Tried, write_report


def test_a_step_that_a_run_ended_in_is_told_apart_from_one_that_it_did_not_come_to(tmp_path: Path) -> None:
    run = {
        "scenario_ref": "p/s@1.0.0", "template": None, "run_id": "r", "status": "failed", "proof": None,
        "scenario_digest": None, "run_label": None, "error": "interrupted by a restart", "created_at": 1.0,
        "finished_at": 2.0, "events": [{"type": "step.started", "step_id": "first", "ts": 1.0}],
    }  # fmt: skip
    tried = Tried("p/s@1.0.0", json.dumps(run).encode(), steps=("first", "second"))
    write_report(tmp_path / "report.xml", [tried], require_proof=False)
    [suite] = ET.parse(tmp_path / "report.xml").getroot()
    told = [(case.get("name"), case[0].tag, case[0].get("message")) for case in suite.iter("testcase")]
    assert told == [
        ("first", "skipped", "it was cut off"),
        ("second", "skipped", "it was not come to"),
        ("run", "error", "interrupted by a restart"),
    ]
