"""The text tools all workers read with."""

import pytest

from base.text.prose import clean, clip, defused, plain, sentences, stem, terms


@pytest.mark.parametrize(
    "family",
    [
        ("revoke", "revoked", "revokes", "revoking", "revocation", "revocations"),
        ("delegate", "delegated", "delegating", "delegation"),
        ("verify", "verifies", "verified", "verification"),
        ("renew", "renewal", "renewing"),
        ("identity", "identities"),
        ("rotate", "rotation", "rotating"),
        ("pins", "pinned", "pinning"),
    ],
)
def test_the_forms_of_a_word_share_a_stem(family: tuple[str, ...]) -> None:
    assert len({stem(word) for word in family}) == 1


def test_words_that_only_look_alike_keep_apart() -> None:
    assert len({stem(word) for word in ("access", "agent", "agency", "sign", "signal", "state")}) == 6


def test_stop_words_and_punctuation_are_no_terms() -> None:
    assert terms("What is the did:web of an agent?") == ["did", "web", "agent"]


def test_sentences_end_at_stops_paragraphs_and_list_items_but_not_at_abbreviations() -> None:
    text = "Use a key, e.g. Ed25519. It works! See 3.2 there\n\nNew paragraph\n- item one\n- item two"
    assert sentences(text) == [
        "Use a key, e.g. Ed25519.",
        "It works!",
        "See 3.2 there",
        "New paragraph",
        "- item one",
        "- item two",
    ]


def test_clipping_keeps_the_limit_and_shows_the_cut() -> None:
    assert clip("one two three four", 10) == "one two…"
    assert len(clip("x" * 500, 40)) == 40
    assert clip("short", 40) == "short"


def test_control_bidirectional_and_surrogate_characters_are_removed() -> None:
    assert clean("a\x00b\x1b[31m\u202ec\u200bd\ud800e\r\nf\tg") == "ab[31mcde\nf g"


def test_defused_text_holds_no_tag() -> None:
    assert "<" not in defused("<img onerror=x>")
    assert ">" not in defused("<img onerror=x>")


def test_plain_prose_loses_markup_and_the_list_of_sources_but_keeps_citations() -> None:
    markdown = (
        "# Title\n\n## Part\n\n- **Bold**: a \\*star\\* &lt;b&gt; [1].\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n"
        "## Sources\n\n- [1] Stolen tokens, somewhere\n"
    )
    assert plain(markdown) == "Bold: a *star* <b> [1]."
