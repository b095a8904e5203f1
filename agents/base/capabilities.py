"""The functions a worker has, and running one of them."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from base.refusals import CapabilityError, Fault, Refusal

if TYPE_CHECKING:
    from base.text.llm import LlmClient

#: Seconds a capability may take; a language model's long answer fits.
TIME_LIMIT = 120.0

Task = dict[str, Any]
Function = Callable[..., Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What a capability may know of the agent it runs in."""

    agent_id: str
    display_name: str
    offered_caps: tuple[str, ...]
    llm: LlmClient | None = None


class Capabilities:
    """The capabilities this process serves: those the bootstrap offers, each backed by a function.

    Raises ``LookupError`` when one that is offered has no function. A function that is not offered is not served.
    """

    def __init__(self, functions: Mapping[str, Function], context: WorkerContext) -> None:
        missing = [name for name in context.offered_caps if name not in functions]
        if missing:
            raise LookupError(f"this worker has no function for the capability {', '.join(missing)}")
        self._functions = {name: functions[name] for name in context.offered_caps}
        self._context = context

    def __contains__(self, name: object) -> bool:
        return name in self._functions

    def require(self, name: str) -> None:
        """Raise ``capability_unknown``, 404, unless ``name`` is served here."""
        if name not in self._functions:
            refusal = Refusal("capability_unknown", f"this agent does not offer {name[:100]!r}")
            refusal.status = 404
            raise refusal

    async def execute(self, name: str, task: Task) -> dict[str, Any]:
        """Run one. A :class:`Fault` it raises is passed on; anything else is 500, its trace on stderr alone."""
        self.require(name)
        function = self._functions[name]
        try:
            async with asyncio.timeout(TIME_LIMIT):
                result = await (function(task, self._context) if takes_context(function) else function(task))
        except CapabilityError:
            raise
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            slow = isinstance(error, TimeoutError)
            reason = "took too long" if slow else f"failed: {type(error).__name__}; its trace is in the agent's log"
            raise Fault(500, "worker_failed", f"the capability {name} {reason}") from error
        if not _is_json_object(result):
            raise Fault(500, "worker_failed", f"the capability {name} did not return a JSON object")
        return result


def _is_json_object(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return isinstance(value, dict)


def takes_context(function: Function) -> bool:
    """Whether the function declares a second parameter."""
    return len(inspect.signature(function).parameters) > 1
