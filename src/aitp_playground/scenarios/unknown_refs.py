"""What to say of a ref that names no scenario: the versions that there are, or the scenarios of a like name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from aitp_playground.errors import ScenarioNotFound

_LONGEST = 200
_MOST_LISTED = 12
_MOST_GUESSES = 3
#: Compared are the names of scenarios alone: most refs have their pack and version in common.
_LIKENESS = 0.6


def unknown_ref(ref: str, known: Iterable[str]) -> ScenarioNotFound:
    """The error for ``ref``, which is none of ``known``."""
    ref = ref[:_LONGEST]
    return ScenarioNotFound(f"no scenario {ref!r}; {_hint(ref, sorted(known))}")


def _hint(ref: str, known: list[str]) -> str:
    path, _, version = ref.partition("@")
    if there := [other for other in known if other.startswith(f"{path}@")]:
        versions = _listed([other.partition("@")[2] for other in there])
        return f"{path} has version {versions}" if version else f"say which version of it: {_listed(there)}"
    pack, _, name = path.rpartition("/")
    if near := _alike(name, version, known):
        return f"did you mean {' or '.join(near)}?"
    if in_pack := [other for other in known if other.startswith(f"{pack}/")]:
        return f"the pack {pack} has {_listed(in_pack)}"
    return "GET /scenarios and aitp-playground list show what there is"


def _alike(name: str, version: str, known: list[str]) -> list[str]:
    """Of each scenario of a like name the version that was asked for, or else the last."""
    by_name: dict[str, dict[str, str]] = {}
    for ref in known:
        path = ref.partition("@")[0]
        chosen = by_name.setdefault(path.rpartition("/")[2], {})
        if chosen.get(path) != f"{path}@{version}":
            chosen[path] = ref
    names = get_close_matches(name, by_name, n=_MOST_GUESSES, cutoff=_LIKENESS)
    return [ref for near in names for ref in by_name[near].values()][:_MOST_GUESSES]


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_LISTED
    return ", ".join(names[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
