"""The base of every model that is read from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

#: How a key of the author's own begins.
EXTENSION = "x-"


class Strict(BaseModel):
    """No unknown keys, no mutation after loading. ``x-*`` keys are the author's own and are passed over."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _pass_over_extensions(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        return {
            name: value for name, value in data.items() if not (isinstance(name, str) and name.startswith(EXTENSION))
        }
