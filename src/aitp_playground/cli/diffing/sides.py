"""The two sides of ``diff``: runs that a playground or this machine's database has, and files with events."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aitp_playground.cli.running.records import Records
from aitp_playground.errors import InvalidRequest, PayloadTooLarge
from aitp_playground.events.codec import decode
from aitp_playground.recording.form import Given, NormalForm
from aitp_playground.recording.normal import Log, given_in, normal_form
from aitp_playground.store.port import TERMINAL

#: No event of a playground is longer, with its line break.
_LONGEST_LINE = 4 << 20


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
    """The events of one run, as ``events RUN --json`` prints them. Raises InvalidRequest for what is no such file."""
    log = Log()
    run_ids: set[str] = set()
    try:
        with path.open("rb") as file:
            for number, line in _lines(file):
                event = decode(line)
                run_ids.add(event.run_id)
                if len(run_ids) > 1:
                    raise InvalidRequest(f"{path}: line {number} is of another run than the first")
                _add(log, line, path)
        return Side(given_in(log.bodies), log, path)
    except OSError as failure:
        raise InvalidRequest(f"{path} cannot be read: {failure.strerror}") from failure
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise InvalidRequest(
            f"{path} has no events of a run, one JSON object a line, as events RUN --json prints them"
        ) from fault


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
