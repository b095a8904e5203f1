"""The names that scenario files are made of, and the marks on fields that say what a name names."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from aitp_playground.scenarios.strict import DIGITS_TOO

API_VERSION = "aitp.dev/v1"
#: One part of a ref, and every id in a scenario.
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]*$"

Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=128), DIGITS_TOO]
Capability = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=128)]


class AgentRef:
    """Marks a step field (or each entry of a list field) that names an agent of the scenario."""


class StepRef:
    """Marks a step field (or each entry of a list field) that names an earlier step."""


class MadeBy:
    """Marks a step field whose step has to be of one type: it takes what only such a step makes."""

    def __init__(self, step_type: str) -> None:
        self.step_type = step_type


AgentId = Annotated[str, Field(min_length=1, max_length=128), DIGITS_TOO, AgentRef()]
StepId = Annotated[str, Field(min_length=1, max_length=128), DIGITS_TOO, StepRef()]
