"""What the groups of calls share: requests for rows, removals, and what a call yields when it failed."""

from __future__ import annotations

from collections.abc import Mapping

from aitp_playground.cp_client.answers import Row, record, rows
from aitp_playground.cp_client.degrading import Degrading
from aitp_playground.cp_client.reasons import Degraded


def no_rows(_: Degraded | None) -> list[Row]:
    """A fallback."""
    return []


def no_record(_: Degraded | None) -> Row:
    """A fallback."""
    return {}


def nothing(_: Degraded | None) -> Row | None:
    """A fallback."""
    return None


def no(_: Degraded | None) -> bool:
    """A fallback."""
    return False


def when_disabled(failure: Degraded | None) -> bool:
    """Nothing can be left behind at a Control Plane that there is not."""
    return failure is None


class Requests(Degrading):
    """Requests that several groups make."""

    async def _removed(self, path: str) -> bool:
        try:
            await self._send("DELETE", path, read=False)
        except Degraded as failure:
            if failure.status != 404:
                raise
        return True

    async def _rows(
        self, path: str, key: str, query: Mapping[str, str] | None = None, *, public: bool = False
    ) -> list[Row]:
        return rows((await self._send("GET", path, query=query, public=public)).body, key)


def identified(body: bytes) -> Row:
    """The object, which must name its ``id``. Raises :class:`Degraded`."""
    row = record(body)
    if not isinstance(row.get("id"), str) or row["id"] in {"", ".", ".."}:
        raise Degraded("bad_shape", "the answer names no id")
    return row
