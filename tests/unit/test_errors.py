"""The tree of errors is drawn as it is."""

from __future__ import annotations

import re

from aitp_playground import errors


def drawn() -> dict[str, tuple[str | None, str]]:
    """The parent and the text of each error in the drawing."""
    found: dict[str, tuple[str | None, str]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if shown := re.fullmatch(r"    ((?:[│ ] {3})*(?:[├└]── )?)([A-Z]\w+)(?: +(.*))?", line):
            depth = len(shown[1]) // 4
            above[depth:] = [shown[2]]
            assert shown[2] not in found
            found[shown[2]] = (above[depth - 1] if depth else None, shown[3] or "")
    return found


def test_every_error_is_drawn_below_what_it_is_a_kind_of() -> None:
    tree = {
        kind.__name__: None if kind is errors.PlaygroundError else kind.__base__.__name__
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.PlaygroundError) and kind.__base__ is not None
    }
    assert {name: parent for name, (parent, _) in drawn().items()} == tree


def test_the_status_in_the_drawing_is_the_errors() -> None:
    for name, (_, text) in drawn().items():
        if status := re.search(r" (\d{3})$", text):
            assert getattr(errors, name).status == int(status[1]), name
