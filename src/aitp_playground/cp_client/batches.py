"""A batch of events for the Control Plane, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from aitp_playground.cp_client.answers import record
from aitp_playground.cp_client.reasons import Degraded, unfit


@dataclass(frozen=True, slots=True)
class Batch:
    """The body of one POST, byte for byte, and how many events it holds."""

    body: bytes
    count: int

    @classmethod
    def of(cls, events: Sequence[Mapping[str, Any]]) -> Batch:
        """Encode ``events``. Raises :class:`Degraded` for values that JSON cannot hold (a lone surrogate, …)."""
        try:
            return cls(orjson.dumps({"events": list(events)}), len(events))
        except orjson.JSONEncodeError as failure:
            raise unfit(f"the events cannot be encoded: {failure}") from None


@dataclass(frozen=True, slots=True)
class BatchFate:
    """``stored``: all ``count`` of them. ``not_stored``: none, for certain. ``unknown``: perhaps, and sending the batch
    again may store it twice. ``skipped``: no Control Plane is configured.
    """

    fate: Literal["stored", "not_stored", "unknown", "skipped"]
    count: int = 0


def taken(batch: Batch, body: bytes) -> BatchFate:
    """Read a 200. Raises :class:`Degraded` when it does not say that the whole batch was stored.

    Zero is what a body of the wrong shape earns.
    """
    count = record(body).get("ingested")
    if type(count) is not int:
        raise Degraded("bad_shape", "the answer does not say how many events were stored")
    if count != batch.count:
        raise Degraded("bad_shape", f"{count} of {batch.count} events were stored", sent=count != 0)
    return BatchFate("stored", count)


def fate_of(failure: Degraded | None) -> BatchFate:
    """What is known of a batch after a failure: a refusal was not stored, a silence may have been."""
    if failure is None:
        return BatchFate("skipped")
    refused = failure.status is not None and 400 <= failure.status < 500
    return BatchFate("not_stored" if refused or not failure.sent else "unknown")
