"""Reading ahead in a thread."""

import threading

import pytest

from cais.storage.readahead import ReadAhead


class Counting:
    """Gives `pieces` pieces of ten bytes, then what `end` says."""

    def __init__(self, pieces: int, end: Exception | None = None) -> None:
        self.given = 0
        self._pieces = pieces
        self._end = end

    def read(self, _: int, /) -> bytes:
        if self.given == self._pieces:
            if self._end is not None:
                raise self._end
            return b""
        self.given += 1
        return b"%010d" % self.given


def test_the_bytes_come_in_order_and_then_the_end() -> None:
    with ReadAhead(Counting(1000)) as ahead:
        got = b""
        while piece := ahead.read(7):
            assert len(piece) <= 7
            got += piece
        assert ahead.read(7) == b""
    assert got == b"".join(b"%010d" % number for number in range(1, 1001))


def test_an_error_comes_after_the_bytes_before_it() -> None:
    with ReadAhead(Counting(3, ValueError("broken"))) as ahead:
        assert b"".join(ahead.read(10) for _ in range(3)) == b"%010d%010d%010d" % (1, 2, 3)
        with pytest.raises(ValueError, match="broken"):
            ahead.read(10)


def test_only_a_few_pieces_are_read_ahead_and_leaving_ends_the_thread() -> None:
    source = Counting(100_000)
    with ReadAhead(source) as ahead:
        ahead.read(10)
    given = source.given
    assert given < 100
    assert not any(thread.name == "read-ahead" for thread in threading.enumerate())


def test_leaving_interrupts_a_source_that_waits() -> None:
    waiting = threading.Event()

    class Waiting:
        def read(self, _: int, /) -> bytes:
            waiting.wait(10)
            return b""

    with ReadAhead(Waiting(), waiting.set):
        pass
    assert waiting.is_set()
