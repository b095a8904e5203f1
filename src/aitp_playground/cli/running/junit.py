"""Runs as a JUnit report: a suite per run, a case per step, so that a build server shows which step failed and why."""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

from aitp_playground.events.tokens import without_tokens
from aitp_playground.events.vocabulary import STEP_ENDS

#: What XML 1.0 has no character for (section 2.2).
_NO_CHARACTER: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LONGEST: Final = 4_000
_COUNTED: Final = ("failures", "errors", "skipped")

Run = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tried:
    """A ref and the run it became, as ``GET /runs/{id}`` has it, or why it became none; with neither it was not come
    to. ``steps``: the ids of all that the run was to go through."""

    ref: str
    document: bytes | None = None
    failure: str | None = None
    steps: Sequence[str] = ()


def write_report(file: Path, tried: Sequence[Tried], *, require_proof: bool) -> None:
    """The report in place of what ``file`` held: whole, or not at all. A link stays one; a pipe or a device is
    written to. Raises OSError."""
    report = ET.tostring(_suites(tried, require_proof=require_proof), encoding="utf-8", xml_declaration=True)
    if _is_no_file(file):
        # A pipe that nobody reads is an error here, not a wait without end.
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(descriptor, True)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(report)
        return
    file = Path(os.path.realpath(file))
    with _beside(file) as other:
        other.write_bytes(report)
        with suppress(FileNotFoundError):
            other.chmod(stat.S_IMODE(file.stat().st_mode))
        other.replace(file)


def check_writable(file: Path) -> None:
    """Find out before the runs what would keep their report from being written. Raises OSError."""
    if not _is_no_file(file):
        with suppress(FileNotFoundError):
            file.stat()  # a link may lead in a circle
        with _beside(Path(os.path.realpath(file))):
            pass


def _is_no_file(file: Path) -> bool:
    """``/dev/stdout`` may lead to a file, and is not to be replaced all the same."""
    return file.exists() and (not file.is_file() or file.is_relative_to("/dev"))


@contextmanager
def _beside(file: Path) -> Iterator[Path]:
    """A new empty file in the same directory, with a mode as the umask says; gone afterwards unless it was moved."""
    other = file.with_name(f".{secrets.token_hex(8)}.junit")
    other.touch(0o666, exist_ok=False)
    try:
        yield other
    finally:
        other.unlink(missing_ok=True)


def _suites(tried: Sequence[Tried], *, require_proof: bool) -> ET.Element:
    root = ET.Element("testsuites", name="aitp-playground")
    for each in tried:
        if each.document is not None:
            root.append(_suite(json.loads(each.document), each.steps, require_proof=require_proof))
            continue
        suite = ET.SubElement(root, "testsuite", name=_text(each.ref))
        case = _case(suite, each.ref, "run")
        if each.failure is None:
            _outcome(case, "skipped", "it was not come to")
        else:
            _outcome(case, "error", each.failure, "run")
        _count(suite)
    for name in ("tests", *_COUNTED):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    root.set("time", f"{sum(float(suite.get('time', '0')) for suite in root):.3f}")
    return root


def _suite(run: Run, steps: Sequence[str], *, require_proof: bool) -> ET.Element:
    ref = f"{run['scenario_ref']}" + (f" ({run['template']})" if run["template"] else "")
    at = datetime.fromtimestamp(run["created_at"], UTC).strftime("%Y-%m-%dT%H:%M:%S")
    suite = ET.Element("testsuite", name=_text(ref), timestamp=at)
    suite.set("time", f"{max(0.0, (run['finished_at'] or run['created_at']) - run['created_at']):.3f}")
    told = {name: run[name] for name in ("run_id", "status", "proof", "scenario_digest", "run_label")}
    _properties(suite, told)
    failed, over = False, set()
    for started, ended in _steps(run["events"]):
        over.add(started["step_id"])
        case = _case(suite, ref, str(started["step_id"]), ended["ts"] - started["ts"])
        payload = ended.get("payload") or {}
        _properties(case, {"step_type": payload.get("step_type"), "checked": payload.get("checked")})
        if ended["type"] == "step.failed":
            failed = True
            _outcome(case, "failure", ended.get("error"), ended["type"], _faults(ended))
        elif ended["type"] == "step.skipped":
            _outcome(case, "skipped", ended.get("notes") or "")
    begun = {event["step_id"] for event in run["events"] if event["type"] == "step.started"}
    for step in steps:
        if step not in over:
            why = "it was cut off" if step in begun else "it was not come to"
            _outcome(_case(suite, ref, step), "skipped", why)
    if run["status"] != "success" and not failed:
        _outcome(_case(suite, ref, "run"), "error", run["error"] or run["status"], f"run.{run['status']}")
    if run["status"] == "success" and require_proof:
        case = _case(suite, ref, "proof")
        if run["proof"] != "proven":
            _outcome(case, "failure", "; ".join(run["unproven_because"]), "unproven")
    _count(suite)
    return suite


def _steps(events: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The start and the end of each step that has both."""
    started: dict[str, Mapping[str, Any]] = {}
    for event in events:
        if event["type"] == "step.started":
            started[event["step_id"]] = event
        elif event["type"] in STEP_ENDS and event.get("step_id") in started:
            yield started.pop(event["step_id"]), event


def _faults(event: Mapping[str, Any]) -> str:
    """Expected and actual of what was claimed, one beneath the other."""
    details = (event.get("payload") or {}).get("details")
    if not isinstance(details, list):
        return str(event.get("error", ""))
    lines = []
    for fault in details:
        if isinstance(fault, Mapping):
            where = f"{fault.get('path') or fault.get('event') or ''} {fault.get('operator') or ''}".strip()
            lines += [where, *(f"  {name}: {_json(fault[name])}" for name in ("expected", "actual") if name in fault)]
    return "\n".join(lines) or str(event.get("error", ""))


def _case(suite: ET.Element, ref: str, name: str, seconds: float = 0.0) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=_text(ref), name=_text(name), time=f"{max(0.0, seconds):.3f}")


def _outcome(case: ET.Element, what: str, message: Any, kind: str = "", text: str = "") -> None:
    told = ET.SubElement(case, what, message=_text(message))
    if kind:
        told.set("type", _text(kind))
    told.text = _text(text) or None


def _properties(of: ET.Element, told: Mapping[str, Any]) -> None:
    known = {name: value for name, value in told.items() if value is not None}
    if known:
        listed = ET.SubElement(of, "properties")
        for name, value in known.items():
            ET.SubElement(listed, "property", name=name, value=_text(value))


def _count(suite: ET.Element) -> None:
    suite.set("tests", str(len(suite.findall("testcase"))))
    for name, tag in zip(_COUNTED, ("failure", "error", "skipped"), strict=True):
        suite.set(name, str(len(suite.findall(f"testcase/{tag}"))))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _text(value: Any) -> str:
    text = _NO_CHARACTER.sub("\ufffd", without_tokens(str(value)))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
