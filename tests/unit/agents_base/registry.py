"""The error codes that the independent verifier has in its sources."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

_CODE = re.compile(r'"([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+)"')


def codes_of_the_verifier(package: ModuleType) -> set[str]:
    """Every word in capitals that stands there as a text; codes are raised as such."""
    sources = (path.read_text("utf-8") for root in package.__path__ for path in Path(root).rglob("*.py"))
    return {code for text in sources for code in _CODE.findall(text)}
