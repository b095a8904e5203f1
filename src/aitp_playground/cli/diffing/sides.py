"""The two sides of ``diff``: runs that a playground or this machine's database has, and files with events."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aitp_playground.cli.running.records import Records
from aitp_playground.errors import InvalidRequest, PayloadTooLarge
from aitp_playground.events.codec import decode_json
from aitp_playground.recording.form import Given, NormalForm
from aitp_playground.recording.normal import Log, given_in, normal_form
from aitp_playground.store.port import TERMINAL
from aitp_playground.strict_json import deeper_than

#: No event of a playground is longer, with its line break.
_LONGEST_LINE = 4 << 20
#: Nor is one deeper: what is stored can be encoded by orjson.
_DEEPEST: Final = 254
_YEAR_10000: Final = 253_402_300_800
#: What stands at the top of every event, what it has to be, and whether a value is that.
_HEAD: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "seq": ("a whole number", lambda value: type(value) is int),
    "id": ("text", lambda value: isinstance(value, str)),
    "type": ("text", lambda value: isinstance(value, str)),
    "ts": ("a time in seconds", lambda value: type(value) in {int, float} and 0 <= value < _YEAR_10000),
    "run_id": ("text", lambda value: isinstance(value, str)),
}


@dataclass(frozen=True, slots=True)
class Side:
    """A run as it was found. ``file``: where its events were read from, None for a run of a playground."""

    given: Given
    log: Log
    file: Path | None = None

    def form(self, *, volatile: bool) -> NormalForm:
        """Its normal form."""
        return normal_form(self.given, self.log.bodies, volatile=volatile)

    def about(self, form: NormalForm) -> Mapping[str, Any]:
        """What ``--json`` says of it."""
        run = {name: form.run[name] for name in ("status", "proof")}
        head = {"run_id": self.given.run_id, "scenario_ref": self.given.ref, "template": self.given.template}
        return {**head, **run, **({} if self.file is None else {"file": str(self.file)})}


async def of_run(records: Records, run_id: str) -> Side:
    """A run that is over. Raises RunNotFound, InvalidRequest for one that goes on or is too long."""
    given, status = await records.given(run_id)
    if status not in TERMINAL:
        raise InvalidRequest(f"run {run_id} is {status}; runs are compared when they are over (tail {run_id} waits)")
    log = Log()
    async with aclosing(records.events(run_id)) as bodies:
        async for body in bodies:
            _add(log, body, run_id)
    return Side(given, log)


def of_file(path: Path) -> Side:
    """The events of one run, as ``events RUN --json`` prints them. Raises InvalidRequest, with the line, for what is no
    such file."""
    log = Log()
    run_ids: set[str] = set()
    try:
        with path.open("rb") as file:
            for number, line in _lines(file):
                try:
                    run_ids.add(_run_of(line))
                except InvalidRequest as wrong:
                    raise InvalidRequest(
                        f"{path}: line {number} is no event of a run, as events RUN --json prints them: {wrong.message}"
                    ) from None
                if len(run_ids) > 1:
                    raise InvalidRequest(f"{path}: line {number} is of another run than the first")
                _add(log, line, path)
    except OSError as failure:
        raise InvalidRequest(f"{path} cannot be read: {failure.strerror}") from failure
    if not log.bodies:
        raise InvalidRequest(f"{path} has no events of a run, one JSON object a line, as events RUN --json prints them")
    return Side(given_in(log.bodies), log, path)


def _run_of(line: bytes) -> str:
    """The id of the run whose event this is. Raises InvalidRequest for what is none, with what is wrong with it."""
    deep = f"it is nested deeper than {_DEEPEST} levels"
    try:
        event = decode_json(line)
    except RecursionError:
        raise InvalidRequest(deep) from None
    except ValueError:
        raise InvalidRequest("it is no JSON") from None
    if not isinstance(event, dict):
        raise InvalidRequest("it is no JSON object")
    for name, (wanted, fits) in _HEAD.items():
        if name not in event:
            raise InvalidRequest(f"it has no {name}")
        if not fits(event[name]):
            raise InvalidRequest(f"its {name} is not {wanted}")
    # Whoever opens no more brackets than that is not deeper: looking costs more than counting.
    if line.count(b"[") + line.count(b"{") > _DEEPEST and deeper_than(event, _DEEPEST):
        raise InvalidRequest(deep)
    return str(event["run_id"])


def _lines(file: Any) -> Generator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        if line.strip():
            yield number, line.strip()


def _add(log: Log, body: bytes, whose: str | Path) -> None:
    try:
        log.add(body)
    except PayloadTooLarge as refusal:
        raise InvalidRequest(f"{whose}: {refusal.message}") from None
