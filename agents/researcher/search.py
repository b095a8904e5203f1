"""Ranking passages with Okapi BM25 (Robertson and Zaragoza, 2009), and saying how well they cover the question.

BM25 scores have no scale of their own, so each hit also carries its *coverage*: the share of the query's information
(its terms weighted by rarity, a term the corpus has never seen being the rarest) that the passage holds. Hits below
``MIN_COVERAGE`` are noise and left out, so that a foreign topic finds nothing instead of the least unsuitable passage.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from base.text.prose import terms
from researcher.library import Passage, passages

K1, B = 1.4, 0.6
#: A word in the title says what a passage is about; in the text it may be said in passing.
TITLE_WEIGHT = 3
#: What a title named in full by the query adds to the score: "delegation" means Delegation, not its redemption.
TITLE_BONUS = 0.3
MIN_COVERAGE = 0.2
MAX_QUERY_TERMS = 16


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage with its BM25 ``score`` and its ``coverage`` of the query, 0 to 1."""

    passage: Passage
    score: float
    coverage: float


class Index:
    """Term statistics over passages, read-only once built."""

    def __init__(self, documents: Iterable[Passage]) -> None:
        self.documents = tuple(documents)
        self.counts = [Counter(terms(p.title) * TITLE_WEIGHT + terms(p.text)) for p in self.documents]
        self._titles = [frozenset(terms(p.title)) for p in self.documents]
        self.frequency = Counter(term for count in self.counts for term in count)
        lengths = [count.total() for count in self.counts]
        mean = sum(lengths) / max(1, len(lengths))
        self._norms = [K1 * (1 - B + B * length / mean) for length in lengths]

    def rarity(self, term: str) -> float:
        """The inverse document frequency; largest for a term no passage holds."""
        found = self.frequency[term]
        return math.log(1 + (len(self.documents) - found + 0.5) / (found + 0.5))

    def search(self, query: Mapping[str, float], limit: int, floor: float = MIN_COVERAGE) -> list[Hit]:
        """The best ``limit`` passages that cover ``floor`` of the weighted terms, best first; ties by source."""
        total = sum(weight * self.rarity(term) for term, weight in query.items())
        hits = []
        rows = zip(self.documents, self.counts, self._titles, self._norms, strict=True)
        for passage, count, title, norm in rows:
            held = [(self.rarity(term) * weight, count[term]) for term, weight in query.items() if term in count]
            coverage = sum(value for value, _ in held) / total if held else 0.0
            if coverage >= floor:
                named = len(title & query.keys()) / max(1, len(title))
                score = sum(value * times * (K1 + 1) / (times + norm) for value, times in held) * (
                    1 + TITLE_BONUS * named
                )
                hits.append(Hit(passage, round(score, 4), round(coverage, 4)))
        hits.sort(key=lambda hit: (-hit.score, hit.passage.source))
        return hits[:limit]


@cache
def index() -> Index:
    """The index of the shipped corpus, built at the first question."""
    return Index(passages())


def query_terms(text: str) -> dict[str, float]:
    """The terms to search for, each weighing 1. Of a long text only the repeated and most telling ones are kept."""
    counts = Counter(terms(text))
    if len(counts) <= MAX_QUERY_TERMS:
        return dict.fromkeys(counts, 1.0)
    repeated = {term: n for term, n in counts.items() if n > 1} or counts
    ranked = sorted(repeated, key=lambda term: -counts[term] * index().rarity(term))
    return dict.fromkeys(ranked[:MAX_QUERY_TERMS], 1.0)


def confidence(hits: list[Hit]) -> str:
    """``high``, ``medium`` or ``low`` by how much of the question the best hit covers; ``none`` without hits."""
    best = max((hit.coverage for hit in hits), default=0.0)
    return "none" if not hits else "high" if best >= 0.7 else "medium" if best >= 0.4 else "low"
