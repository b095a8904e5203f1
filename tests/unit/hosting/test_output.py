"""Bounded, redacted output."""

from __future__ import annotations

import asyncio
import itertools
import os

from hypothesis import given
from hypothesis import strategies as st

from aitp_playground.hosting.output import TAIL_BYTES, OutputPipe, Tail, last_lines


def tail_of(secrets: tuple[str, ...], *chunks: bytes) -> str:
    tail = Tail(secrets)
    for chunk in chunks:
        tail.feed(chunk)
    return tail.text()


def cut(text: bytes, at: list[int]) -> list[bytes]:
    edges = sorted({0, len(text), *(edge % (len(text) + 1) for edge in at)})
    return [text[start:end] for start, end in itertools.pairwise(edges)]


@given(
    before=st.binary(max_size=40).filter(lambda noise: b"hunter2-hunter2" not in noise),
    at=st.lists(st.integers(0, 200), max_size=8),
)
def test_however_a_secret_is_cut_it_never_shows(before: bytes, at: list[int]) -> None:
    text = before + b"hunter2-hunter2" + b"!hunter2-hunter2?"
    assert tail_of(("hunter2-hunter2",), *cut(text, at)) == (before + b"[redacted]![redacted]?").decode(
        errors="replace"
    )


@given(st.text(alphabet="ab", max_size=30), st.lists(st.integers(0, 60), max_size=6))
def test_overlapping_secrets_never_show(text: str, at: list[int]) -> None:
    secrets = ("aab", "abab", "aabba")
    shown = tail_of(secrets, *cut(text.encode(), at)).replace("[redacted]", "|")
    assert not any(secret in shown for secret in secrets)


def test_text_that_only_begins_like_a_secret_is_shown() -> None:
    assert tail_of(("hunter2",), b"a hunt", b"er's tale; hu") == "a hunter's tale; hu"


def test_the_telling_beginning_of_a_secret_that_never_ends_is_not_shown() -> None:
    assert tail_of(("correct-horse-battery",), b"key=correct-horse-batt") == "key=[redacted]"


def test_a_longer_secret_hides_the_shorter_it_begins_with() -> None:
    assert tail_of(("abc", "abcdef"), b"abc", b"def abc.") == "[redacted] [redacted]."


def test_only_the_end_is_kept() -> None:
    text = tail_of((), *[b"%06d\n" % number for number in range(100_000)])
    assert len(text) == TAIL_BYTES
    assert text.endswith("099999\n")


def test_bytes_that_are_not_utf8_become_readable() -> None:
    assert tail_of((), b"caf\xe9") == "caf\ufffd"


async def test_a_pipe_is_drained_to_its_end_and_closed() -> None:
    reader, writer = os.pipe()
    received: list[bytes] = []
    pipe = OutputPipe(reader, received.append)
    os.write(writer, b"one ")
    os.write(writer, b"two")
    os.close(writer)
    await asyncio.wait_for(pipe.closed, 300)
    pipe.close()
    assert b"".join(received) == b"one two"


def test_the_last_lines_are_whole_ones_and_of_a_long_one_both_ends_are_kept() -> None:
    assert last_lines("  one\ntwo\n", 100) == "one\ntwo"
    assert last_lines("a line that is left out\ntwo\nthree\n", 9) == "two\nthree"
    assert (
        last_lines("before\nValueError: " + "x" * 500 + " the reason", 40) == "ValueError: xxxxxxx…xxxxxxxxx the reason"
    )


@given(st.text(alphabet="ab\n ", max_size=60), st.integers(2, 30))
def test_the_last_lines_never_exceed_their_bound_and_end_as_the_text_does(text: str, limit: int) -> None:
    shown = last_lines(text, limit)
    assert len(shown) <= limit
    assert shown[-1:] == text.strip()[-1:]
