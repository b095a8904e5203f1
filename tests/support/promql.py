"""What a PromQL expression names, held to what a registry exposes: metrics, labels, and the values that they take."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

#: Sample name → label → the values it has.
Series = Mapping[str, Mapping[str, frozenset[str]]]

#: Those that Prometheus adds to everything it scrapes, and the metric that it makes itself.
OF_TARGETS = ("job", "instance")
UP: Series = {"up": {}}

_STRING = r'"(?:\\.|[^"\\])*"'
_PART = re.compile(
    rf"""
    (?P<grouping>\b(?:by|without|on|ignoring|group_left|group_right)\s*\((?P<labels>[^)]*)\))
    | (?P<string>{_STRING})
    | \[[^\]]*\]                                                     # a range
    | (?P<number>\b\d[\w.]*)                                         # also a duration
    | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?P<call>\()?(?:\{{(?P<matchers>(?:{_STRING}|[^"}}])*)\}})?
    | (?P<nameless>\{{)
    """,
    re.VERBOSE,
)
_MATCHER = re.compile(rf"\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*({_STRING})\s*(?:,|$)")
#: With a grouping between them and their parenthesis, aggregations look like names.
_AGGREGATIONS = frozenset(
    {"sum", "min", "max", "avg", "group", "stddev", "stdvar", "count", "count_values", "bottomk", "topk", "quantile"}
)
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "inf", "nan"}) | _AGGREGATIONS


@dataclass(frozen=True, slots=True)
class Selector:
    """``matchers``: label, operator, value."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]


def exposed(registry: CollectorRegistry) -> Series:
    """What a registry has, with every value of every label."""
    found: dict[str, dict[str, frozenset[str]]] = {}
    for family in registry.collect():
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels[label] = labels.get(label, frozenset()) | {value}
    return found


def parts(expression: str) -> tuple[list[Selector], set[str]]:
    """The selectors of an expression, and the labels that it groups or matches by."""
    selectors: list[Selector] = []
    grouped: set[str] = set()
    for part in _PART.finditer(expression):
        if part["labels"] is not None:
            grouped |= set(re.findall(r"\w+", part["labels"]))
        elif part["nameless"]:
            raise ValueError(f"a selector without a name: {expression}")
        elif part["name"] and not part["call"] and part["name"].lower() not in _WORDS:
            text = part["matchers"] or ""
            matchers = tuple((label, how, value[1:-1]) for label, how, value in _MATCHER.findall(text))
            if _MATCHER.sub("", text).strip():
                raise ValueError(f"not understood: {{{text}}}")
            selectors.append(Selector(part["name"], matchers))
    return selectors, grouped


def faults(expression: str, known: Series) -> Iterator[str]:
    """What it names that is not there. A value with a ``$`` is a dashboard's variable and may be anything."""
    selectors, grouped = parts(expression)
    if not selectors:
        yield "no metric"
    labels = set(OF_TARGETS)
    for selector in selectors:
        if selector.name not in known:
            yield f"no metric {selector.name}"
            continue
        values = known[selector.name]
        labels |= values.keys()
        for label, how, value in selector.matchers:
            if label not in values and label not in OF_TARGETS:
                yield f"{selector.name} has no label {label}"
            elif label in values and "$" not in value and not _takes(values[label], how, value):
                yield f"{selector.name} has no {label} {value}"
    yield from (f"no label {label} to group by" for label in sorted(grouped - labels))


def _takes(values: frozenset[str], how: str, value: str) -> bool:
    """Also what is left out must be there: it is misspelt otherwise."""
    return any(re.fullmatch(value, one) for one in values) if how.endswith("~") else value in values
