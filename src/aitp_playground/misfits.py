"""What pydantic says of a value that does not fit, in the words of who wrote it in a file, a body or a variable."""

from __future__ import annotations

import re
from typing import Final

from pydantic_core import ErrorDetails

_WHOLE: Final = "must be a whole number"
_LIST: Final = "must be a list"
_MAPPING: Final = "must be a mapping of names to values"
_SWITCH: Final = "must be true or false"
_WORDS: Final = {
    "int_type": f"{_WHOLE}, without quotes",
    "int_parsing": _WHOLE,
    "int_parsing_size": f"{_WHOLE} of fewer digits",
    "int_from_float": _WHOLE,
    "float_type": "must be a number, without quotes",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": _SWITCH,
    "bool_parsing": _SWITCH,
    "string_type": "must be text",
    "list_type": _LIST,
    "tuple_type": _LIST,
    "dict_type": _MAPPING,
    "mapping_type": _MAPPING,
    "model_type": _MAPPING,
    "missing": "is missing",
}
#: What pydantic calls the value; here its name comes before.
_SUBJECT: Final = re.compile(r"^(?:Input|String|Value|List|Tuple|Dictionary) should ")


def said(error: ErrorDetails) -> str:
    """The end of a sentence that begins with the name of what does not fit. Never holds the value."""
    words = _WORDS.get(error["type"])
    if words is None:
        words = _SUBJECT.sub("must ", error["msg"].removeprefix("Value error, "))
        words = words[:1].lower() + words[1:]
    return words
