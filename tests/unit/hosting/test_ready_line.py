"""The ready line."""

from __future__ import annotations

import pytest

from aitp_playground.hosting.contract import Ready
from aitp_playground.hosting.ready_line import ReadyLine, ReadyLineError

LINE = b"AITP_AGENT_READY aid=aid:pubkey:p256:A-b_9 port=8101\n"


def test_a_line_in_pieces_is_read_as_one() -> None:
    line = ReadyLine(8101)
    assert [line.feed(LINE[at : at + 1]) for at in range(len(LINE))][-1] == Ready("aid:pubkey:p256:A-b_9", 8101)


def test_the_line_is_told_once() -> None:
    line = ReadyLine(8101)
    assert line.feed(b"hello\n" + LINE + LINE) is not None
    assert line.feed(LINE) is None


def test_an_unfinished_line_is_not_ready() -> None:
    assert ReadyLine(8101).feed(LINE.rstrip()) is None


def test_windows_line_ends_are_forgiven() -> None:
    assert ReadyLine(8101).feed(LINE.replace(b"\n", b"\r\n")) is not None


def test_a_line_without_end_takes_no_memory() -> None:
    line = ReadyLine(8101)
    for _ in range(100):
        assert line.feed(b"x" * 65536) is None
    assert line.held <= 4096
    assert line.feed(b"\n" + LINE) is not None


@pytest.mark.parametrize(
    "wrong",
    [
        b"AITP_AGENT_READY\n",
        b"AITP_AGENT_READYaid=aid:a port=8101\n",
        b"AITP_AGENT_READY aid= port=8101\n",
        b"AITP_AGENT_READY aid=aid:a aid=aid:b port=8101\n",
        b"AITP_AGENT_READY aid=aid:a port=8102\n",
        b"AITP_AGENT_READY aid=aid:a port=8101 \n",
        b"AITP_AGENT_READY aid=" + b"aid:" + b"a" * 5000 + b" port=8101\n",
    ],
)
def test_anything_else_after_the_mark_is_an_error(wrong: bytes) -> None:
    with pytest.raises(ReadyLineError):
        ReadyLine(8101).feed(wrong)
