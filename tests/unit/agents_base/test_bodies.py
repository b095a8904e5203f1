"""What a body unpacks to, and how much is in it."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib

import pytest

from base.http.bodies import MAX_DIGITS, MAX_VALUES, encoding_of, is_crowded, parse_json, unpacked


@pytest.mark.parametrize(
    ("named", "encoding"),
    [
        ([], None),
        ([""], None),
        (["identity"], None),
        (["gzip"], "gzip"),
        (["X-Gzip"], "x-gzip"),
        (["identity, deflate"], "deflate"),
    ],
)
def test_encoding_is_the_one_that_is_named(named: list[str], encoding: str | None) -> None:
    assert encoding_of(named) == encoding


@pytest.mark.parametrize("named", [["br"], ["zstd"], ["gzip, gzip"], ["gzip", "deflate"], ["rot13"]])
def test_other_encodings_and_several_are_not_undone(named: list[str]) -> None:
    with pytest.raises(LookupError):
        encoding_of(named)


async def test_body_is_had_without_its_encoding() -> None:
    body = b"{}" * 50
    for pack, encoding in ((gzip.compress, "gzip"), (gzip.compress, "x-gzip"), (zlib.compress, "deflate")):
        packed = pack(body)
        assert await unpacked(packed, encoding, 100) == body
        assert await unpacked(packed, encoding, 99) is None
        for broken in (packed[:-1], packed + b"x", b"no", packed[:-8] + bytes(8)):
            with pytest.raises(ValueError, match=r"damaged|stream"):
                await unpacked(broken, encoding, 100)


@pytest.mark.parametrize("value", ["0", "[]", "{}", '{"a":[]}', '"text"'])
def test_document_of_more_values_than_anybody_needs_is_crowded(value: str) -> None:
    assert is_crowded("[" + ",".join([value] * (MAX_VALUES + 1)) + "]")
    assert not is_crowded("[" + ",".join([value] * (MAX_VALUES // 5)) + "]")


BACK = "\\\\"  # as it is escaped in a JSON text


@pytest.mark.parametrize("text", ["a, [b], {c}", BACK, BACK[0] + '", and [', BACK * 2])
def test_what_stands_in_a_text_is_no_value(text: str) -> None:
    assert not is_crowded('{"a": "' + text * MAX_VALUES + '", "b": [1, 2]}')


def test_text_without_an_end_is_looked_through_once() -> None:
    hostile = "," * (MAX_VALUES + 1) + '"\\' * (1 << 20)
    began = time.thread_time()
    assert is_crowded(hostile)
    assert time.thread_time() - began < 5.0, "from each quote on anew it would be hours"


async def test_others_have_their_turn_while_a_body_is_undone() -> None:
    """Empty blocks: 64 KiB of them become nothing, and take their time."""
    blocks = zlib.compressobj(wbits=-15)
    empty = b"".join(blocks.flush(zlib.Z_FULL_FLUSH) for _ in range(20_000))
    body, turns = b"\x78\x9c" + empty, 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    with pytest.raises(ValueError, match="stream"):
        await unpacked(body, "deflate", 1 << 20)
    counting.cancel()
    assert turns >= len(body) // (16 << 10)


def test_as_many_texts_as_cannot_be_needed_are_not_all_looked_at() -> None:
    assert is_crowded("[" + '"",' * (8 * MAX_VALUES) + '""]')
    assert is_crowded('{"a": "' + ("," * 4 * MAX_VALUES) + '", "b": [' + '"",' * (3 * MAX_VALUES) + '""]}')


def test_numbers_without_end_are_none() -> None:
    most = "7" * MAX_DIGITS
    assert parse_json(f'{{"a": {most}, "b": "{most}0", "c": 0.{most}0}}')["a"] == int(most)
    for text in (f"[{most}0]", f"-{most}0", f'{{"a": {{"b": {most}0}}}}'):
        with pytest.raises(ValueError, match="digits"):
            parse_json(text)
