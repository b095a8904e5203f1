"""The base of every model that is read from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

#: How a key of the author's own begins.
EXTENSION = "x-"


def as_text(value: Any) -> Any:
    """A whole number that stands where text is wanted is the text: ``2024`` can be read in one way, ``1.10`` in two."""
    return str(value) if type(value) is int else value


#: On a type that is text, which YAML takes for a number when it is made of digits alone.
DIGITS_TOO = BeforeValidator(as_text)
Text = Annotated[str, DIGITS_TOO]


class Strict(BaseModel):
    """No unknown keys, no mutation after loading. ``x-*`` keys are the author's own and are passed over.

    ``null`` for what may be left out and has a default is as good as leaving it out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _pass_over_extensions(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        return {
            name: value
            for name, value in data.items()
            if not (isinstance(name, str) and name.startswith(EXTENSION))
            and not (value is None and name in cls.defaulted())
        }

    @classmethod
    def defaulted(cls) -> frozenset[str]:
        """The keys for which ``null`` may stand: those with a default that is another value."""
        return frozenset(
            field.alias or name
            for name, field in cls.model_fields.items()
            if not field.is_required() and field.get_default(call_default_factory=True, validated_data={}) is not None
        )
