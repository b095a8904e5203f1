"""Plain-text tools the shipped workers share: cleaning, words, sentences, clipping. Pure functions."""

from __future__ import annotations

import html
import re
from functools import lru_cache

_COMMON = """a about above after again against all also am an and any are as at be because been before being below
    between both but by can could does doing down during each etc every few for from further had has have having he her
    here hers him his how however i if in into is it its itself just let like made make many may me might more most
    much my no nor not of off on once one only onto or other our out over own per same she should since so some such
    than that the their them then there these they this those through thus to too under until up upon us very via was
    we were what when where whether which while who whom whose why will with within without would yes yet you your
    vs versus happen happens please tell write writes writing explain describe article report overview paper
    post draft must shall"""
STOP_WORDS = frozenset(_COMMON.split())
_LOOK_ALIKES = {ord("<"): "\u2039", ord(">"): "\u203a"}
_WORD = re.compile(r"[^\W_]+")
# C0 and C1 controls, bidirectional marks, zero-width characters, tags, surrogates: none of them is text a reader sees.
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff"
    r"\U000e0000-\U000e007f]"
)
_SENTENCE_END = re.compile(
    r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]*[^\W_a-z])|\n{2,}|\n(?= {0,8}(?:[-*+#>|]|\d{1,3}[.)])\s)"
)
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|dr|mr|mrs|ms|no|fig|approx|[a-z])\.)$", re.IGNORECASE)
_SOURCE_LIST = re.compile(r"(?m)^#{1,6} (?:References|Sources)\s*$")
_NOT_PROSE = re.compile(r"\s*(?:#{1,6}\s|\||```|[-*_=]{3,}\s*$)")
_MARKER = re.compile(r"^\s*(?:>\s*)*(?:[-*+]\s+|\d{1,3}[.)]\s+)?")
_EMPHASIS = re.compile(r"(?<!\\)(\*\*|\*|__|`)(?=\S)([^\n*`]+?)\1")
_ESCAPE = re.compile(r"\\([\\`*_\[\]|~#+=.()-])")
_SUFFIXES = (
    "ications", "ication", "ations", "ation", "ating", "ated", "ates", "ate", "ings", "ing", "ions", "ion", "ies",
    "ied", "als", "al", "ers", "er", "ed", "es", "s", "y", "e",
)  # fmt: skip


def clean(text: str) -> str:
    """``text`` without control, bidirectional and zero-width characters; line ends become ``\\n``."""
    return _INVISIBLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " "))


def one_line(text: str) -> str:
    """``text`` cleaned, every run of white space one blank."""
    return " ".join(clean(text).split())


def clip(text: str, limit: int) -> str:
    """At most ``limit`` characters, cut at a word when one ends in the last third; an ellipsis says that it was cut."""
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    space = head.rfind(" ")
    return (head[:space] if space > limit * 2 // 3 else head).rstrip(" ,;:") + "…"


@lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """A light suffix stripper: enough that revoke, revoked, revoking and revocation meet."""
    root = word
    for suffix in _SUFFIXES:
        shortest = 5 if suffix in ("al", "als", "er", "ers") else 4
        if word.endswith(suffix) and len(word) - len(suffix) >= shortest and not word.endswith("ss"):
            root = word[: -len(suffix)]
            break
    else:
        if len(word) == 4 and word.endswith("s") and not word.endswith("ss"):
            root = word[:-1]
    if root is not word and len(root) > 3 and root[-1] == root[-2] and root[-1] not in "aeiols":
        root = root[:-1]
    if root.endswith("ic") and len(root) > 6:
        root = root[:-2]
    return root[:-1] + "k" if root.endswith("c") and len(root) > 4 else root


def terms(text: str) -> list[str]:
    """The searchable words of ``text`` in order, stemmed, repeats kept, stop words and lone characters left out."""
    words = _WORD.findall(text.casefold())
    return [stem(word) for word in words if len(word) > 1 and word not in STOP_WORDS]


def sentences(text: str) -> list[str]:
    """``text`` split where sentences, paragraphs and list items end; each on one line, none empty."""
    found: list[list[str]] = []
    for piece in _SENTENCE_END.split(text):
        part = " ".join(piece.split())
        if found and part and _ABBREVIATION.search(found[-1][-1][-12:]):
            found[-1].append(part)
        elif part:
            found.append([part])
    return [" ".join(parts) for parts in found]


def defused(text: str) -> str:
    """``text`` with angle brackets replaced by look-alikes: harmless wherever it is shown, and never escaped twice."""
    return text.translate(_LOOK_ALIKES)


def plain(markdown: str) -> str:
    """The prose of a Markdown text: no headings, tables, rules, markers or escapes, nothing after its list of sources.

    Source numbers in brackets stay, so a sentence can still be traced.
    """
    prose = _SOURCE_LIST.split(markdown, maxsplit=1)[0]
    lines = (_MARKER.sub("", line) for line in prose.split("\n") if not _NOT_PROSE.match(line))
    text = _EMPHASIS.sub(r"\2", "\n".join(lines))
    return clean(html.unescape(_ESCAPE.sub(r"\1", text))).strip()
