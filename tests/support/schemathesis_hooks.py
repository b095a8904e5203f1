"""What schemathesis has to know of this API that no document can say: which streams end."""

from __future__ import annotations

import os
from typing import Any

import schemathesis

FOLLOWED = (None, True, "true", "1", 1)


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: dict[str, Any]) -> None:
    """The stream of everything is asked for what is stored, and that of a run that goes on is asked of another."""
    path = case.operation.path
    if path == "/events" and (case.query or {}).get("follow") in FOLLOWED:
        case.query = {**(case.query or {}), "follow": "false"}
    if path == "/runs/{run_id}/events" and case.path_parameters.get("run_id") == os.environ["NEVER_ENDS"]:
        case.path_parameters = {**case.path_parameters, "run_id": os.environ["ENDED"]}
