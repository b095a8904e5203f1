"""JSON Schemas (draft 2020-12) of what is taken and answered, made by pydantic from the types that do it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

from aitp_playground.scenarios.file_schema import told

REF = "#/components/schemas/{model}"


class Schemas:
    """The schemas of some types, given as (type, whether it is taken and not answered). What has a name of its own is
    one of the ``components``, and is referred to."""

    def __init__(self, types: Sequence[tuple[Any, bool]]) -> None:
        self._types = types
        modes: list[JsonSchemaMode] = ["validation" if taken else "serialization" for _, taken in types]
        wanted = [(index, mode, TypeAdapter(types[index][0])) for index, mode in enumerate(modes)]
        made, rest = TypeAdapter.json_schemas(wanted, ref_template=REF, schema_generator=_Generator)
        self._made = [made[index, mode] for index, mode in enumerate(modes)]
        self.components: dict[str, Any] = dict(sorted(rest.get("$defs", {}).items()))

    def of(self, wanted: Any, *, taken: bool = False) -> dict[str, Any]:
        """The schema of one of them."""
        return self._made[self._types.index((wanted, taken))]


class _Generator(GenerateJsonSchema):
    """Answers are closed: a key that is not in a schema is not in an answer, and one with a value of its own by default
    is always there."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        made = super().typed_dict_schema(schema)
        made.pop("title", None)
        cls = schema.get("cls")
        return {**made, "additionalProperties": False, **_description(cls)}

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        made = super().dataclass_schema(schema)
        made.pop("title", None)
        return {**made, "additionalProperties": False, **_description(schema["cls"])}

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        made.pop("title", None)
        return {**made, **_description(schema["cls"])}

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        inner = field["schema"]
        if self.mode == "serialization" and inner["type"] == "default":
            return "default_factory" in inner or inner.get("default") is not None
        return super().field_is_required(field, total)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """What an answer would hold by default is of no interest to who reads it; null is as good as nothing."""
        made = super().default_schema(schema)
        if self.mode == "serialization" or made.get("default", False) is None:
            made.pop("default", None)
        return made


def _description(cls: Any) -> dict[str, str]:
    return {"description": told(cls.__doc__)} if getattr(cls, "__doc__", None) else {}
