"""The multiplexed stream, cut anywhere."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cais.client.frames import STDERR, STDOUT, Demultiplexer


def frame(stream: int, content: bytes) -> bytes:
    return struct.pack(">BxxxI", stream, len(content)) + content


@given(
    frames=st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=50))),
    cuts=st.lists(st.integers(1, 20)),
)
def test_any_cut_gives_the_same_streams_in_the_same_order(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data = b"".join(frame(stream, content) for stream, content in frames)
    demultiplexer = Demultiplexer()
    seen: list[tuple[int, bytes]] = []
    at = 0
    for size in [*cuts, len(data)]:
        seen += demultiplexer.feed(data[at : at + size])
        at += size
    expected = [(stream, byte) for stream, content in frames for byte in content]
    assert [(stream, byte) for stream, content in seen for byte in content] == expected


def test_many_small_frames_of_one_stream_come_joined() -> None:
    found = Demultiplexer().feed(frame(STDOUT, b"a") * 1000 + frame(STDERR, b"b") * 2)
    assert found == [(STDOUT, b"a" * 1000), (STDERR, b"bb")]


def test_a_frame_is_not_waited_for() -> None:
    demultiplexer = Demultiplexer()
    assert demultiplexer.feed(frame(STDOUT, b"abcdef")[:10]) == [(STDOUT, b"ab")]
    assert demultiplexer.feed(b"cdef") == [(STDOUT, b"cdef")]


@pytest.mark.parametrize("size", [1, 7, 8, 9])
def test_a_head_may_come_in_pieces(size: int) -> None:
    data = frame(STDERR, b"x") + frame(STDOUT, b"y")
    demultiplexer = Demultiplexer()
    seen = [found for at in range(0, len(data), size) for found in demultiplexer.feed(data[at : at + size])]
    assert seen == [(STDERR, b"x"), (STDOUT, b"y")]
